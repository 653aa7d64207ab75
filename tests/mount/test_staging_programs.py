"""Real programs in a staging mount: what they say and leave is what they say and leave on a disk.

Each one runs in a local directory and in a mount. Exit codes, output and the trees must be equal;
then the version must hold what the mount did.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.staging import Stager

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO_S = 1_500_000_000
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "1",
    # Which deltas a pack holds depends on how threads share the work.
    "GIT_CONFIG_KEY_0": "pack.threads",
    "GIT_CONFIG_VALUE_0": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": f"{LONG_AGO_S} +0000",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_COMMITTER_DATE": f"{LONG_AGO_S} +0000",
    "LC_ALL": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}


class Shell:
    """Runs programs in a directory, and keeps what they said."""

    def __init__(self, root: Path, shared: Path) -> None:
        self.root = root
        self.shared = shared
        """For what a program reads from elsewhere."""
        self.said: list[tuple[str, int, str, str]] = []

    def __call__(
        self, *command: str, below: str = ".", expect: int = 0, input_text: str | None = None
    ) -> str:
        """Run a program; its standard output."""
        done = subprocess.run(
            command,
            cwd=self.root / below,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            input=input_text or "",
            check=False,
        )
        assert done.returncode == expect, (command, done.stderr)
        said = (done.stdout.replace(str(self.root), "."), done.stderr.replace(str(self.root), "."))
        self.said.append((command[0], done.returncode, *said))
        return done.stdout

    def python(self, script: str, *arguments: str) -> str:
        """Run a script; its standard output."""
        return self(sys.executable, "-c", script, *arguments)


def use_git(sh: Shell) -> None:
    sh("git", "init", "--quiet", "--initial-branch=main", "repository")
    repository = sh.root / "repository"
    for number in range(3):
        (repository / f"file{number}").write_text(f"{number}\n" * 100)
        sh("git", "add", ".", below="repository")
        sh("git", "commit", "--quiet", "--message", str(number), below="repository")
    sh("git", "gc", "--quiet", below="repository")
    sh("git", "fsck", "--strict", below="repository")
    assert sh("git", "status", "--short", below="repository") == ""
    assert len(sh("git", "log", "--oneline", below="repository").splitlines()) == 3
    sh("git", "checkout", "--quiet", "-b", "other", "HEAD~1", below="repository")
    sh("git", "merge", "--quiet", "main", below="repository")
    sh("git", "rev-parse", "nothing", below="repository", expect=128)


def use_pip(sh: Shell) -> None:
    wheel = sh.shared / "tiny-1.0-py3-none-any.whl"
    if not wheel.exists():
        info = "tiny-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny/__init__.py", "VALUE = 42\n")
            archive.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            archive.writestr(f"{info}/RECORD", "")
    pip = ["-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--no-index"]
    sh(sys.executable, *pip, "--disable-pip-version-check", "--target", "lib", str(wheel))
    assert sh.python("import sys; sys.path[0] = 'lib'; import tiny; print(tiny.VALUE)") == "42\n"


def use_tar(sh: Shell) -> None:
    archive = str(sh.shared / "source.tar")
    if not Path(archive).exists():
        subprocess.run(
            ["tar", "cf", archive, "--exclude=__pycache__", "artfs/manifest"], cwd=ROOT, check=True
        )
    sh("tar", "xf", archive)
    sh("tar", "df", archive)
    sh("tar", "xvf", archive, "--keep-newer-files", "--no-same-owner", "artfs/manifest/tree.py")


def use_rsync(sh: Shell) -> None:
    source = sh.shared / sh.root.name
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "big").write_bytes(bytes(range(256)) * 10_000)
    (source / "link").symlink_to("sub/big")
    command = ["rsync", "-a", "--inplace", "--no-whole-file", f"{source}/", "synced/"]
    sh(*command)
    with (source / "sub" / "big").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed")
    # rsync looks at sizes and at whole seconds.
    for path in (source / "sub" / "big", source / "sub", source):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    sh(*command)
    sh("diff", "-r", str(source), "synced")
    assert sh("rsync", "-ain", f"{source}/", "synced/") == ""


def use_sqlite(sh: Shell) -> None:
    script = (
        "import sqlite3, sys\n"
        "mode = sys.argv[1]\n"
        "path = f'{mode}.db'\n"
        "database = sqlite3.connect(path)\n"
        "print(database.execute(f'PRAGMA journal_mode = {mode}').fetchone())\n"
        "database.execute('CREATE TABLE numbers (value)')\n"
        "for start in range(3):\n"
        "    with sqlite3.connect(path) as other:\n"
        "        rows = [(start * 100 + value,) for value in range(100)]\n"
        "        other.executemany('INSERT INTO numbers VALUES (?)', rows)\n"
        "other.execute('DELETE FROM numbers WHERE value < 10')\n"
        "print(database.execute('SELECT count(*) FROM numbers').fetchone())\n"
        "other.rollback()\n"
        "print(database.execute('SELECT sum(value) FROM numbers').fetchone())\n"
        "print(database.execute('PRAGMA integrity_check').fetchone())\n"
        "other.close()\n"
        "database.close()\n"
    )
    for mode in ("wal", "delete", "truncate", "persist"):
        assert "(44850,)" in sh.python(script, mode)


def use_vim(sh: Shell) -> None:
    vim = shutil.which("vim") or "vim.tiny"
    (sh.root / "text").write_text("one\n")
    (sh.root / "text").chmod(0o640)
    for option in ("backupcopy=no", "backupcopy=yes"):
        keys = ["-c", f"set {option}", "-c", "normal Ax", "-c", "wq"]
        sh(vim, "-es", "-u", "NONE", "-i", "NONE", *keys, "text")
    assert (sh.root / "text").read_text() == "onexx\n"
    assert [path.name for path in sh.root.iterdir()] == ["text"]


def use_sparse_copies(sh: Shell) -> None:
    with (sh.root / "sparse").open("wb") as file:
        file.seek(10_000_000)
        file.write(b"end")
    sh("cp", "--sparse=always", "sparse", "copy")
    sh("cmp", "sparse", "copy")
    assert (sh.root / "copy").stat().st_blocks * 512 < 1_000_000


def use_dd(sh: Shell) -> None:
    random = sh.shared / "random"
    if not random.exists():
        random.write_bytes(os.urandom(20 * 65536))
    quiet = ["bs=64k", "status=none"]
    sh("dd", f"if={random}", "of=copied", *quiet, "conv=fsync")
    sh("dd", f"if={random}", "of=copied", *quiet, "conv=notrunc,fdatasync", "count=3", "seek=30")
    sh("dd", "if=copied", "of=copied.sync", *quiet, "oflag=sync,append", "conv=notrunc")
    sh("dd", "if=/dev/zero", "of=nowhere/file", *quiet, "count=1", expect=1)


def use_numpy(sh: Shell) -> None:
    script = (
        "import numpy as np\n"
        "wanted = np.arange(100_000, dtype='f4').reshape(1000, 100)\n"
        "made = np.lib.format.open_memmap('matrix.npy', mode='w+', dtype='f4', shape=(1000, 100))\n"
        "made[:] = wanted\n"
        "made.flush()\n"
        "changed = np.load('matrix.npy', mmap_mode='r+')\n"
        "changed[0, 0] = 7\n"
        "del changed, made\n"
        "print(np.load('matrix.npy')[0, :3], np.load('matrix.npy', mmap_mode='r').sum())\n"
        "raw = np.memmap('raw', dtype='i8', mode='w+', offset=4096, shape=50_000)\n"
        "raw[::2] = 1\n"
        "del raw\n"
        "print(np.memmap('raw', dtype='i8', mode='r', offset=4096).sum())\n"
    )
    assert sh.python(script).endswith("25000\n")


def use_models(sh: Shell) -> None:
    # In the place of torch.save, whose package is gigabytes. What it writes is a zip archive of
    # stored entries; numpy.savez makes one by the same standard, and seeks back to complete each
    # header. torch.load(mmap=True) maps it; safetensors, written and mapped outside of Python,
    # is what torch models come in as well.
    script = (
        "import numpy as np\n"
        "from safetensors import safe_open\n"
        "from safetensors.numpy import load_file, save_file\n"
        "weights = {f'layer{n}': np.arange(n * 1000, dtype='f4') for n in range(1, 50)}\n"
        "save_file(weights, 'model.safetensors', metadata={'format': 'np'})\n"
        "with safe_open('model.safetensors', framework='np') as model:\n"
        "    print(len(model.keys()), model.get_slice('layer7')[10:20])\n"
        "np.savez('model.npz', **weights)\n"
        "with np.load('model.npz') as arrays:\n"
        "    print(all((arrays[name] == weights[name]).all() for name in weights))\n"
        "weights['layer1'] += 1\n"
        "save_file(weights, 'model.safetensors')\n"
        "print(load_file('model.safetensors')['layer1'].sum())\n"
        # A file that is mapped while another takes its name, as checkpoints do.
        "import os\n"
        "old = np.memmap('model.safetensors', dtype='u1', mode='r')\n"
        "before = old[-1000:].tobytes()\n"
        "save_file({'a': weights['layer2']}, 'next.safetensors')\n"
        "os.replace('next.safetensors', 'model.safetensors')\n"
        "print(old[-1000:].tobytes() == before, load_file('model.safetensors').keys())\n"
    )
    assert sh.python(script).endswith("True dict_keys(['a'])\n")


def use_parquet(sh: Shell) -> None:
    script = (
        "import pandas as pd\n"
        "frame = pd.DataFrame({'n': range(10_000), 'text': ['a', 'b'] * 5_000})\n"
        "frame.to_parquet('whole.parquet', engine='fastparquet')\n"
        "frame.to_parquet('parts', engine='fastparquet', partition_cols=['text'])\n"
        "more = frame.tail(10)\n"
        "more.to_parquet('whole.parquet', engine='fastparquet', append=True)\n"
        "print(pd.read_parquet('whole.parquet', engine='fastparquet').n.sum())\n"
        "parts = pd.read_parquet('parts', engine='fastparquet')\n"
        "print(parts.groupby('text', observed=True).n.sum())\n"
    )
    assert sh.python(script).count("50094945") == 1


def use_parallel_writers(sh: Shell) -> None:
    program = (
        "import fcntl, os, sys\n"
        "name = sys.argv[1]\n"
        "for n in range(50):\n"
        "    with open(f'{name}-{n}.tmp', 'wb') as file: file.write(name.encode() * n)\n"
        "    os.replace(f'{name}-{n}.tmp', f'{name}-{n}')\n"
        "    with open('log', 'ab', buffering=0) as log: log.write(b'one line\\n')\n"
        "    with open('counter', 'a+') as counter:\n"
        "        fcntl.lockf(counter, fcntl.LOCK_EX)\n"
        "        counter.seek(0)\n"
        "        value = int(counter.read() or 0) + 1\n"
        "        counter.truncate(0)\n"
        "        counter.write(str(value))\n"
        "        counter.flush()\n"
        "        fcntl.lockf(counter, fcntl.LOCK_UN)\n"
    )
    names = ["w", "x", "y", "z"]
    writers = [
        subprocess.Popen([sys.executable, "-c", program, name], cwd=sh.root) for name in names
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert (sh.root / "log").read_text() == "one line\n" * 200
    assert (sh.root / "counter").read_text() == "200"


PROGRAMS = [
    use_git,
    use_pip,
    use_tar,
    use_rsync,
    use_sqlite,
    use_vim,
    use_sparse_copies,
    use_dd,
    use_numpy,
    use_models,
    use_parquet,
    use_parallel_writers,
]

# The index of git holds inode numbers and times of files.
ONLY_THERE = {"repository/.git/index"}

Tree = Mapping[str, tuple[int, bytes | str | None]]


def tree(root: Path) -> Tree:
    """Type, mode and content of everything below a directory."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        mode = path.lstat().st_mode
        content: bytes | str | None = None
        if stat.S_ISLNK(mode):
            content = str(path.readlink())
        elif stat.S_ISREG(mode) and name not in ONLY_THERE:
            content = path.read_bytes()
        found[name] = (mode, content)
    return found


def kept(found: Tree) -> dict[str, bytes | str | None]:
    """What a version keeps of it, in the words of Stager.version."""
    return {
        name: f"-> {content!s}" if stat.S_ISLNK(mode) else content
        for name, (mode, content) in found.items()
        if name not in ONLY_THERE
    }


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_works_as_on_a_local_disk_and_what_it_wrote_is_in_the_version(
    program: Callable[[Shell], None], staged: Stager, tmp_path: Path
) -> None:
    shared, local = tmp_path / "shared", tmp_path / "local"
    shared.mkdir()
    local.mkdir()
    on_disk, in_mount = Shell(local, shared), Shell(staged(), shared)
    program(on_disk)
    program(in_mount)
    assert in_mount.said == on_disk.said
    left = tree(in_mount.root)
    assert left == tree(local)
    staged.finish(in_mount.root)
    version = {
        name: content for name, content in staged.version().items() if name not in ONLY_THERE
    }
    assert version == kept(left)
