"""What processes open through a mount is used by the run that they belong to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artfs.repository.facade import Repository
from artfs.sdk.api import Api
from tests.support.faults import wait_until
from tests.support.mounts import Mounter
from tests.support.stores import commit

ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """Runs `artfs` over a store."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ARTFS_STORE": repository.info.location,
        }
        self.environment.pop("ARTFS_RUN_ID", None)

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "artfs", *map(str, arguments)]

    def does(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *command: str | Path) -> str:
        """Run a command under `artfs run`, successfully; the id of the run."""
        done = self.does(self.command("run", "-p", "demo", "--json", "--", *command))
        assert done.returncode == 0, done
        said = json.loads(done.stderr)
        assert said["state"] == "finished"
        return str(said["id"])

    def python(self, program: str, *arguments: str | Path) -> str:
        """As `run`, for a Python program."""
        return self.run(sys.executable, "-c", program, *arguments)

    def used(self, run_id: str) -> set[str]:
        """The versions that a run used, as far as it is recorded."""
        return {version.path for version in self.repository.catalog.inputs_of(run_id)}

    def must_use(self, run_id: str, *paths: str) -> None:
        """Recording takes a moment; then it must be exactly these."""
        wait_until(lambda: len(self.used(run_id)) >= len(paths))
        assert self.used(run_id) == set(paths)


@pytest.fixture
def shell(repository: Repository) -> Shell:
    return Shell(repository)


@pytest.fixture
def data(repository: Repository) -> Repository:
    """demo/data with two versions that share every file but one, and demo/other."""
    files = {f"train/{index}.txt": f"{index}".encode() for index in range(20)}
    first = commit(repository, "demo/data", files | {"labels": b"old"}, aliases=("first",))
    commit(repository, "demo/data", {"labels": b"new"}, base=first)
    commit(repository, "demo/other", {"alone": b"nowhere else"})
    return repository


def everything_known(mnt: Path) -> None:
    """Let the kernel know all names, so that it asks for none of them any more."""
    assert len(list(mnt.rglob("*.txt"))) >= 40
    for path in mnt.rglob("*"):
        path.stat()


def test_what_a_command_reads_is_used_by_its_run(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    run_id = shell.run("cat", mounted(data) / "demo/data/v0/train/3.txt")
    shell.must_use(run_id, "demo/data:v0")
    artifact = Api(store=data.info.location).artifact("demo/data:v0")
    assert [run.id for run in artifact.used_by()] == [run_id]
    history: Any = json.loads(shell.does(shell.command("history", "demo/data", "--json")).stdout)
    users = {each["version"]: [run["id"] for run in each["used_by"]] for each in history}
    assert users == {"v0": [run_id], "v1": []}


TRAIN = """
import sys
from pathlib import Path
for folder in sys.argv[1:]:
    for path in sorted(Path(folder).rglob("*.txt")):
        path.read_bytes()
"""


@pytest.mark.parametrize(
    ("folders", "used"),
    [
        (["demo/data/v0/train"], ["demo/data:v0"]),
        (["demo/data/latest"], ["demo/data:v1"]),
        (["demo/data/first/train"], ["demo/data:v0"]),
        (["demo/data/v0", "demo/data/v1"], ["demo/data:v0", "demo/data:v1"]),
    ],
)
def test_a_script_that_reads_files_which_versions_share_uses_those_that_it_read(
    data: Repository, mounted: Mounter, shell: Shell, folders: list[str], used: list[str]
) -> None:
    mnt = mounted(data)
    everything_known(mnt)
    shell.must_use(shell.python(TRAIN, *(mnt / folder for folder in folders)), *used)


def test_a_file_of_one_version_only_is_never_taken_for_another(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    mnt = mounted(data)
    everything_known(mnt)
    # It looks into both, and opens a file that is different in each.
    run_id = shell.run("sh", "-c", 'ls -R "$0"; cat "$0/v1/labels"', mnt / "demo/data")
    shell.must_use(run_id, "demo/data:v1")


GLANCE = """
import os, sys
from pathlib import Path
seen, read = map(Path, sys.argv[1:])
os.listdir(seen / "train")
(seen / "train/3.txt").stat()
(read / "train/3.txt").read_bytes()
"""


@pytest.mark.parametrize(
    ("seen", "read", "used"), [("v0", "v1", "v1"), ("v1", "v0", "v0"), ("v0", "latest", "v1")]
)
def test_a_file_that_versions_share_is_used_in_the_one_in_which_it_was_opened(
    data: Repository, mounted: Mounter, shell: Shell, seen: str, read: str, used: str
) -> None:
    mnt = mounted(data)
    everything_known(mnt)
    for folder in (mnt / "demo/data/v0", mnt / "demo/data/v1"):
        # The kernel has the pages of both.
        assert (folder / "train/3.txt").read_bytes() == b"3"
    run_id = shell.python(GLANCE, mnt / "demo/data" / seen, mnt / "demo/data" / read)
    shell.must_use(run_id, f"demo/data:{used}")


def test_what_is_read_in_a_portfolio_uses_the_version_that_is_linked_there(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    version = data.resolve("demo/data:v1")
    data.catalog.link(version.id, "models", "best", ["production"])
    mnt = mounted(data)
    everything_known(mnt)
    run_id = shell.run("cat", mnt / "models/best/production/train/3.txt")
    shell.must_use(run_id, "demo/data:v1")


def test_looking_is_not_using(data: Repository, mounted: Mounter, shell: Shell) -> None:
    mnt = mounted(data)
    looked = shell.run("ls", "-lR", mnt)
    read = shell.run("cat", mnt / "demo/other/v0/alone")
    shell.must_use(read, "demo/other:v0")
    assert shell.used(looked) == set()


def test_a_mount_of_one_version_records_as_well(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    mnt = mounted(data, "demo/data:first")
    shell.must_use(shell.run("cat", mnt / "labels"), "demo/data:v0")


def test_what_is_read_outside_of_runs_is_not_recorded(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    path = mounted(data) / "demo/data/v0/labels"
    assert shell.does(["cat", str(path)]).stdout == "old"
    run_id = shell.run("cat", path.parents[2] / "other/v0/alone")
    shell.must_use(run_id, "demo/other:v0")
    assert data.catalog.users_of(data.resolve("demo/data:v0").id) == []


def test_a_run_that_the_store_does_not_know_is_harmless(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    path = mounted(data) / "demo/data/v0/labels"
    done = shell.does(["cat", str(path)], ARTFS_RUN_ID="nosuchrun")
    assert (done.returncode, done.stdout) == (0, "old")
    shell.must_use(shell.run("cat", path), "demo/data:v0")


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
paths = sorted(Path(sys.argv[1]).rglob("*.txt")) * 20
with ThreadPoolExecutor(8) as pool:
    assert len(list(pool.map(Path.read_bytes, paths))) == len(paths)
"""

WORKERS = """
import multiprocessing, sys
from pathlib import Path
paths = sorted(Path(sys.argv[2]).rglob("*.txt"))
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(3) as pool:
        assert len(pool.map(Path.read_bytes, paths, chunksize=1)) == len(paths)
"""


def test_threads_use_what_they_open(data: Repository, mounted: Mounter, shell: Shell) -> None:
    mnt = mounted(data)
    everything_known(mnt)
    shell.must_use(shell.python(THREADS, mnt / "demo/data/v1"), "demo/data:v1")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_use_what_they_open(
    data: Repository, mounted: Mounter, shell: Shell, tmp_path: Path, method: str
) -> None:
    mnt = mounted(data)
    everything_known(mnt)
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    run_id = shell.run(sys.executable, script, method, mnt / "demo/data/v1")
    shell.must_use(run_id, "demo/data:v1")


INIT = """
import artfs, os, sys
with artfs.init(project="demo") as run:
    open(sys.argv[1] + "/v0/labels").read()
    if os.fork() == 0:
        open(sys.argv[2]).read()
        os._exit(0)
    os.wait()
    print(run.id)
"""


def test_a_script_that_begins_a_run_itself_uses_what_it_and_its_children_open(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    mnt = mounted(data)
    arguments = [str(mnt / "demo/data"), str(mnt / "demo/other/v0/alone")]
    done = shell.does([sys.executable, "-c", INIT, *arguments])
    assert done.returncode == 0, done
    shell.must_use(done.stdout.strip(), "demo/data:v0", "demo/other:v0")


def test_a_script_that_artfs_run_started_joins_its_run(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    mnt = mounted(data)
    run_id = shell.python(INIT, mnt / "demo/data", mnt / "demo/other/v0/alone")
    shell.must_use(run_id, "demo/data:v0", "demo/other:v0")
    assert [run.id for run in data.catalog.runs()] == [run_id]


def test_what_was_read_just_before_unmounting_is_recorded(
    data: Repository, mounted: Mounter, shell: Shell
) -> None:
    mnt = mounted(data)
    run_id = shell.run("cat", mnt / "demo/data/v0/labels")
    mounted.stop_all()
    assert shell.used(run_id) == {"demo/data:v0"}


# --- the command -------------------------------------------------------------------------------


def test_the_exit_code_of_the_command_is_that_of_artfs_run(shell: Shell) -> None:
    done = shell.does(shell.command("run", "-n", "mine", "--", "sh", "-c", "echo out; exit 7"))
    assert (done.returncode, done.stdout) == (7, "out\n")
    (run,) = shell.repository.catalog.runs()
    assert done.stderr == f"run mine (uncategorized, {run.id}) failed\n"
    assert run.state.value == "failed"


def test_options_of_the_command_are_its_own(shell: Shell) -> None:
    done = shell.does(shell.command("run", "-q", "--config", '{"lr": 1}', "printf", "%s", "--name"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "--name", "")
    assert shell.repository.catalog.runs()[0].config == {"lr": 1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--", "no-such-command"], "artfs: no-such-command: no such command"),
        (["--config", "[]", "--", "true"], "--config: is not a JSON object"),
        (["--project", "a/b", "--", "true"], "a/b"),
    ],
)
def test_what_cannot_be_run_begins_no_run(shell: Shell, arguments: list[str], says: str) -> None:
    done = shell.does(shell.command("run", *arguments))
    assert done.returncode == 10
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert shell.repository.catalog.runs() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(shell: Shell, number: signal.Signals) -> None:
    program = (
        "import signal, sys; signal.signal(int(sys.argv[1]), lambda *_: sys.exit(5)); "
        "print('ready', flush=True); signal.pause()"
    )
    command = shell.command("run", "-q", "--", sys.executable, "-c", program, str(int(number)))
    with subprocess.Popen(
        command, env=shell.environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == 5
    assert shell.repository.catalog.runs()[0].state.value == "failed"


def test_a_command_that_a_signal_ended_is_told_as_a_shell_does(shell: Shell) -> None:
    assert shell.does(shell.command("run", "-q", "--", "sh", "-c", "kill -9 $$")).returncode == 137
