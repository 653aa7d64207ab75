"""Starting, ending, dying and healing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from artfs.errors import (
    AliasNotFound,
    ArtfsError,
    ArtifactNotFound,
    InvalidName,
    MountError,
    StoreFormatError,
    StoreNotFound,
    VersionNotFound,
)
from artfs.mounts import client
from artfs.mounts.client import MountOptions, MountRequest, MountState
from artfs.mounts.contact import ended
from artfs.repository.facade import Repository
from artfs.system.mountinfo import mounted_at
from tests.support.faults import wait_until
from tests.support.mounts import Mounter, must_fail
from tests.support.stores import commit


@pytest.fixture(autouse=True)
def content(repository: Repository) -> None:
    commit(repository, "demo/digits", {"x": b"content"})


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped does not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not ended(pidfd, 0)
    finally:
        os.close(pidfd)


def assert_gone(mountpoint: Path, pid: int | None, runtime: Path) -> None:
    assert mounted_at(mountpoint) is None
    assert pid is not None
    assert not is_alive(pid)
    assert list((runtime / "run" / "artfs").iterdir()) == []
    assert list(mountpoint.iterdir()) == []


def test_stop_returns_when_everything_is_gone(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    status = mounted.start(repository)
    assert (status.mountpoint / "demo/digits/latest/x").read_bytes() == b"content"
    client.stop(status.mountpoint)
    assert_gone(status.mountpoint, status.pid, runtime)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_mount_cleanly(
    repository: Repository, mounted: Mounter, runtime: Path, number: int
) -> None:
    status = mounted.start(repository)
    assert status.pid is not None
    os.kill(status.pid, number)
    wait_until(lambda: not is_alive(status.pid or 0))
    assert_gone(status.mountpoint, status.pid, runtime)


def test_unmounting_from_outside_ends_the_process(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    status = mounted.start(repository)
    subprocess.run(["fusermount3", "-u", status.mountpoint], check=True)
    wait_until(lambda: not is_alive(status.pid or 0))
    assert_gone(status.mountpoint, status.pid, runtime)


@pytest.mark.parametrize("heal", ["mount", "umount"])
def test_a_dead_mount_is_told_and_healed(
    repository: Repository, mounted: Mounter, runtime: Path, heal: str
) -> None:
    status = mounted.start(repository)
    place = status.mountpoint
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(status.pid or 0))
    with pytest.raises(OSError) as caught:
        next(place.iterdir())
    # An outage cannot look like an empty directory.
    assert caught.value.errno == errno.ENOTCONN
    assert client.status(place).state is MountState.DEAD
    assert [each.state for each in client.mounts() if each.mountpoint == place] == [MountState.DEAD]
    if heal == "mount":
        request = MountRequest(store=repository.info.location, target=None, mountpoint=place)
        again = client.start(request)
        assert (place / "demo/digits/v0/x").read_bytes() == b"content"
        client.stop(place)
        assert_gone(place, again.pid, runtime)
    else:
        client.stop(place)
        assert_gone(place, status.pid, runtime)


def test_a_busy_mount_says_who_uses_it(repository: Repository, mounted: Mounter) -> None:
    status = mounted.start(repository)
    place = status.mountpoint
    with (place / "demo/digits/v0/x").open("rb") as opened:
        error = must_fail(lambda: client.stop(place))
        assert "busy" in error.reason
        assert f"(pid {os.getpid()})" in error.reason
        assert opened.read() == b"content"
    sleeper = subprocess.Popen(["sleep", "60"], cwd=place / "demo")
    try:
        assert f"sleep (pid {sleeper.pid})" in must_fail(lambda: client.stop(place)).reason
    finally:
        sleeper.kill()
        sleeper.wait()
    client.stop(place)


def test_force_ends_a_busy_mount(repository: Repository, mounted: Mounter, runtime: Path) -> None:
    status = mounted.start(repository)
    fd = os.open(status.mountpoint / "demo/digits/v0/x", os.O_RDONLY)
    client.stop(status.mountpoint, force=True)
    assert_gone(status.mountpoint, status.pid, runtime)
    with pytest.raises(OSError) as caught:
        os.read(fd, 10)
    assert caught.value.errno == errno.ENOTCONN
    os.close(fd)


def test_force_ends_a_process_that_hangs(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    status = mounted.start(repository)
    assert status.pid is not None
    os.kill(status.pid, signal.SIGSTOP)
    assert client.status(status.mountpoint).state is MountState.UNRESPONSIVE
    client.stop(status.mountpoint, force=True, timeout_s=0.5)
    assert_gone(status.mountpoint, status.pid, runtime)


def test_a_stuck_reader_does_not_keep_a_mount_from_ending(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    commit(repository, "demo/big", {"x": os.urandom(2**21)})
    root = repository.info.root
    assert root is not None
    (blob,) = (root / "blobs").glob("*/*")
    blob.unlink()
    os.mkfifo(blob)
    status = mounted.start(repository)
    ended: list[int | None] = []

    def read() -> None:
        try:
            (status.mountpoint / "demo/big/v0/x").read_bytes()
        except OSError as error:
            ended.append(error.errno)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: client.status(status.mountpoint).counters.open_files == 1)  # type: ignore[union-attr]
    client.stop(status.mountpoint, force=True)
    reader.join(10)
    # The kernel says the one of a request that was taken, the other of one that was not.
    assert ended[0] in {errno.ECONNABORTED, errno.ENOTCONN}
    assert_gone(status.mountpoint, status.pid, runtime)


def test_a_second_mount_at_the_same_place_is_refused(
    repository: Repository, mounted: Mounter
) -> None:
    place = mounted(repository, "demo")
    request = MountRequest(store=repository.info.location, target=None, mountpoint=place)
    error = must_fail(lambda: client.start(request))
    assert "already mounted (demo of " in error.reason
    assert (place / "digits/v0/x").read_bytes() == b"content"


def test_of_many_mounts_at_once_one_wins(
    repository: Repository, mounted: Mounter, tmp_path: Path, runtime: Path
) -> None:
    place = tmp_path / "contested"
    place.mkdir()
    mounted.mounted.append(place)
    request = MountRequest(store=repository.info.location, target=None, mountpoint=place)
    outcomes: list[object] = []

    def start() -> None:
        try:
            outcomes.append(client.start(request).pid)
        except ArtfsError as error:
            outcomes.append(error)

    starters = [threading.Thread(target=start) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    winners = [each for each in outcomes if isinstance(each, int)]
    assert len(winners) == 1, outcomes
    assert (place / "demo/digits/v0/x").read_bytes() == b"content"
    client.stop(place)
    assert_gone(place, winners[0], runtime)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("nowhere", ArtifactNotFound),
        ("demo/nothing", ArtifactNotFound),
        ("demo/nothing:v0", ArtifactNotFound),
        ("demo/digits:v9", VersionNotFound),
        ("demo/digits:best", AliasNotFound),
        ("demo//digits", InvalidName),
        ("../x", InvalidName),
    ],
)
def test_an_unknown_target_is_refused_and_leaves_nothing(
    repository: Repository,
    mounted: Mounter,
    runtime: Path,
    target: str,
    kind: type[ArtfsError],
) -> None:
    with pytest.raises(kind) as caught:
        mounted(repository, target)
    assert "\n" not in str(caught.value)
    assert mounted_at(mounted.mounted[-1]) is None
    assert list((runtime / "run").glob("artfs/*")) == []


def test_a_store_that_is_none_is_refused(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "m").mkdir()
    request = MountRequest(store=str(tmp_path / "no"), target=None, mountpoint=tmp_path / "m")
    with pytest.raises(StoreNotFound):
        client.start(request)


def test_a_damaged_store_is_refused(
    repository: Repository, mounted: Mounter, runtime: Path
) -> None:
    assert repository.info.root is not None
    (repository.info.root / "artfs.toml").write_text("format = 99\nentity = 'x'\n")
    with pytest.raises(StoreFormatError, match="format 99"):
        mounted(repository)


def test_a_mount_of_another_runtime_directory_is_found(
    repository: Repository, mounted: Mounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = mounted.start(repository)
    place = status.mountpoint
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_RUNTIME_DIR", str(tmp_path / "elsewhere"))
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        assert client.status(place).state is MountState.MOUNTED
        request = MountRequest(store=repository.info.location, target=None, mountpoint=place)
        with pytest.raises(MountError, match="already mounted"):
            client.start(request)
    assert (place / "demo/digits/v0/x").read_bytes() == b"content"


def test_the_foreground_mount_lives_until_it_is_interrupted(
    repository: Repository, tmp_path: Path, runtime: Path
) -> None:
    place = tmp_path / "m"
    place.mkdir()
    code = (
        "import sys; from pathlib import Path; from artfs.daemon.__main__ import run_foreground; "
        "from artfs.mounts.client import MountRequest; "
        "run_foreground(MountRequest(store=sys.argv[1], target=None, mountpoint=Path(sys.argv[2])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, repository.info.location, str(place)], cwd=tmp_path
    )
    wait_until(lambda: mounted_at(place) is not None)
    assert (place / "demo/digits/v0/x").read_bytes() == b"content"
    assert client.status(place).pid == process.pid
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert_gone(place, process.pid, runtime)


def test_all_mounts_are_told(repository: Repository, mounted: Mounter) -> None:
    places = [mounted(repository), mounted(repository, "demo/digits:latest")]
    told = {each.mountpoint: each for each in client.mounts()}
    one, two = (told[place] for place in places)
    assert (one.target, one.version, one.kind) == (None, None, "mount")
    assert (two.target, two.version) == ("demo/digits:latest", "demo/digits:v0")
    assert one.store == repository.info.location
    assert one.options == MountOptions()
    assert one.started_at_s == pytest.approx(time.time(), abs=60)
    assert one.log is not None
    assert one.log.exists()


def test_a_path_to_the_mountpoint_through_a_symlink_is_the_same_mount(
    repository: Repository, mounted: Mounter, tmp_path: Path
) -> None:
    place = mounted(repository)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert client.status(tmp_path / "link" / place.name).mountpoint == place
    client.stop(tmp_path / "link" / place.name)
    assert mounted_at(place) is None


def test_a_mount_works_from_a_mountpoint_with_odd_characters(
    repository: Repository, tmp_path: Path, mounted: Mounter, runtime: Path
) -> None:
    place = tmp_path / "m\u00fc ll, -o x\ty"
    place.mkdir()
    mounted.mounted.append(place)
    request = MountRequest(store=repository.info.location, target=None, mountpoint=place)
    status = client.start(request)
    assert (place / "demo/digits/v0/x").read_bytes() == b"content"
    client.stop(place)
    assert_gone(place, status.pid, runtime)
