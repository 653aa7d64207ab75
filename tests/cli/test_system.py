"""What artfs is to a machine: man pages, units, `mount -t artfs`, all mounts at once, logs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.system.mountinfo import mounted_at
from tests.cli.conftest import Cli
from tests.support.namespaces import LET_GO

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def places(filled: Cli) -> Iterator[list[Path]]:
    """Two empty directories to mount on."""
    found = [filled.directory / "mnt one", filled.directory / "mnt two"]
    for place in found:
        place.mkdir()
    yield found
    for place in found:
        if mounted_at(place) is not None:
            filled.run("umount", "--force", place)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a machine with all that `artfs install` puts there."""
    cli = Cli(tmp_path_factory.mktemp("installed"))
    cli.ok("install", "--root", cli.directory / "root")
    return cli.directory / "root"


def test_everything_is_put_where_it_is_looked_for_and_removed_again(cli: Cli) -> None:
    root = cli.directory / "root"
    plan = cli.ok("install", "--root", root, "--dry-run").out
    assert not root.exists()
    said = cli.ok("install", "--root", root, "--json").json["files"]
    assert plan == "".join(f"would write {path}\n" for path in said)
    names = {str(Path(path).relative_to(root)) for path in said}
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == names
    assert {
        "usr/local/share/man/man1/artfs-alias-add.1",
        "usr/local/share/man/man1/artfs-download.1",
        "usr/local/share/bash-completion/completions/artfs",
        "usr/local/share/zsh/site-functions/_artfs",
        "etc/systemd/system/artfs-mount@.service",
        "sbin/mount.fuse.artfs",
    } <= names
    other = root / "sbin" / "mount.artfs"
    other.write_text("#!/bin/sh\n")
    cli.fails(4, "install", "--root", root, says="is there and not of artfs")
    assert other.read_text() == "#!/bin/sh\n"
    cli.ok("install", "--root", root, "--remove")
    assert [path for path in root.rglob("*") if path.is_file()] == [other]
    user = cli.ok("install", "--user", "--json").json["files"]
    assert all(path.startswith(f"{cli.directory}/") for path in user)
    assert not any("sbin" in path for path in user)


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_man_pages_are_what_the_help_says_and_troff_finds_no_fault(installed: Path) -> None:
    root = installed
    pages = sorted((root / "usr/local/share/man/man1").glob("*.1"))
    full = [page for page in pages if not page.read_text().splitlines()[1].startswith(".so ")]
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-K", "utf8", "-P-c", *full],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "artfs get demo/digits:v0/train --exclude '*.png'" in done.stdout
    for text in (
        "Leave out what matches one of these.",
        "ArtifactNotFound",
        "Delete all but the newest N",
    ):
        assert text in " ".join(done.stdout.split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_no_fault_with_the_units(cli: Cli, installed: Path) -> None:
    root = installed
    units = root / "etc" / "systemd" / "system"
    instance = units / "artfs-mount@mnt-data.service"
    shutil.copy(units / "artfs-mount@.service", instance)
    paths = [path for path in units.iterdir() if "@." not in path.name]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        capture_output=True,
        text=True,
        env=cli.environment,
        check=False,
    )
    assert len(paths) == 4
    assert (done.returncode, done.stderr) == (0, "")


_MOUNTS = f"""set -e
KEPT=/nowhere
{LET_GO}
mount -t tmpfs tmpfs "$1/over"
mkdir "$1/over/upper" "$1/over/work"
options=lowerdir=/usr/sbin,upperdir=$1/over/upper,workdir=$1/over/work
mount -t overlay overlay -o "$options" /usr/sbin
cp "$1"/root/sbin/* /usr/sbin/
options=ro,nofail,_netdev,noauto,user,x-systemd.automount,allow_other
mount -t artfs "$1/store" "$1/at" -o $options
cat "$1/at/demo/data/v1/new.txt"
umount "$1/at"
mount -t fuse.artfs "$1/store#demo/data:best" "$1/at"
cat "$1/at/new.txt"
umount "$1/at"
echo "$1/store#demo $1/at artfs $options,alias_ttl=5 0 0" > "$1/fstab"
mount --fstab "$1/fstab" "$1/at"
ls "$1/at"
umount "$1/at"
! mount -t artfs "$1/nothing" "$1/at"
! mount -t artfs "$1/store" "$1/at" -o ro,nonsense
mount -s -t artfs "$1/store" "$1/at" -o ro,nonsense
umount "$1/at"
"""


@pytest.mark.skipif(not IS_ROOT, reason="mount(8) is root's")
def test_mount_and_fstab_know_the_type_artfs(filled: Cli, installed: Path) -> None:
    (filled.directory / "root").symlink_to(installed)
    for name in ("at", "over"):
        (filled.directory / name).mkdir()
    # In a mount namespace of its own: nobody else sees the helpers in /sbin. There is no home, as
    # at boot.
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", _MOUNTS, "bash", filled.directory],
        env={name: filled.environment[name] for name in ("PATH", "PYTHONPATH", "XDG_STATE_HOME")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout == "new\nnew\ndata\n"
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"mount.artfs: {filled.directory}/nothing: there is no store here")
    assert said[1].startswith("mount.artfs: -o nonsense: no such option")


def test_the_helper_of_mount_refuses_what_is_no_command_line_of_it(cli: Cli) -> None:
    for words in (("a",), ("-x", "a", "b")):
        done = subprocess.run(
            [*cli.command()[:1], "-m", "artfs.cli.mounthelper", *words],
            env=cli.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("mount.artfs: ")
        assert "it is run by mount(8)" in done.stderr


_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_ALL = """set -e
artfs() { "$python" -m artfs "$@"; }
ours() { grep -c ' - fuse.artfs ' /proc/self/mountinfo || true; }
KEPT=/nowhere
LET_GO
[ "$(ours)" = 0 ]
artfs mount "$1/mnt one" >&2
artfs stage demo/staged "$1/mnt two" >&2
echo staged > "$1/mnt two/file"
[ "$(ours)" = 2 ]
exec 3> "$1/mnt two/open"
artfs umount --all && exit 1
[ "$(ours)" = 1 ]
exec 3>&-
artfs umount --all --json
[ "$(ours)" = 0 ]
artfs umount --all
"""


@pytest.mark.skipif(not IS_ROOT, reason="makes namespaces, so that nobody else's mounts end")
def test_all_mounts_of_a_user_end_at_once_and_staged_work_becomes_versions(
    filled: Cli, places: list[Path]
) -> None:
    filled.fails(2, "umount", says="expected MOUNTPOINT or --all")
    filled.fails(2, "umount", "--all", places[0], says="expected MOUNTPOINT or --all")
    # In namespaces of its own no other process and no other mount can be seen or reached.
    done = subprocess.run(
        [*_ALONE, "bash", "-c", _ALL.replace("LET_GO", LET_GO), "bash", str(filled.directory)],
        env=filled.environment | {"python": sys.executable},
        cwd=filled.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    first, _, rest = done.stdout.partition("{")
    document, _, last = rest.rpartition("}")
    assert first == f"{places[0]} is unmounted\n{places[1]} is still mounted\n"
    ended = json.loads(f"{{{document}}}")["mounts"]
    assert [(each["unmounted"], each["version"]) for each in ended] == [
        (str(places[1]), "demo/staged:v0")
    ]
    assert last == "\nNothing is mounted\n"


def test_what_mounts_do_is_shown_again_and_again(filled: Cli, places: list[Path]) -> None:
    filled.ok("mount", "demo", places[0])
    process = filled.popen("status", places[0], "--watch", "0.1", "--json")
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline())]
    (places[0] / "data" / "v1" / "a.txt").read_bytes()
    while looks[-1]["mounts"][0]["counters"]["opens"] == 0:
        looks.append(json.loads(process.stdout.readline()))
    assert looks[-1]["mounts"][0]["mountpoint"] == str(places[0])
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate()
    text = filled.popen("status", places[0], "--watch", "60")
    assert text.stdout is not None
    shown = [text.stdout.readline() for _ in range(3)]
    text.send_signal(signal.SIGINT)
    assert text.wait(30) == 130
    text.communicate()
    assert "READS/S" in shown[1]
    assert "mnt one" in shown[2]


def test_systemd_hears_that_a_mount_is_ready_and_the_log_is_as_loud_as_asked(
    filled: Cli, places: list[Path]
) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(filled.directory / "notify"))
    listening.settimeout(60)
    filled.environment["NOTIFY_SOCKET"] = str(filled.directory / "notify")
    process = filled.popen("--log-level", "debug", "mount", "--foreground", "demo", places[0])
    assert listening.recv(100) == b"READY=1"
    assert (places[0] / "data").is_dir()
    listening.close()
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert " DEBUG artfs." in said
    filled.fails(2, "--log-level", "loud", "ls", says="'loud'")


def test_a_log_that_has_grown_large_is_put_aside(filled: Cli, places: list[Path]) -> None:
    log = Path(filled.ok("mount", places[0], "--json").json["log"])
    filled.ok("umount", places[0])
    with log.open("ab") as file:
        file.truncate(5 << 20)
    filled.ok("mount", places[0])
    assert log.stat().st_size < 1 << 20
    assert log.with_name(f"{log.name}.1").stat().st_size == 5 << 20
