from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from artfs.catalog.records import RunRecord, VersionRecord
from artfs.engine.blocking import Threads
from artfs.errors import BackendUnavailable
from artfs.repository.facade import Repository
from artfs.sdk.session import mark_process, unmark_process
from artfs.vfs.lineage import Lineage, run_of
from artfs.vfs.service import Service
from artfs.vfs.tree import Attributes
from artfs.vfs.versions import TreeDirectory
from tests.support.stores import commit, new_store

THREAD = 4321


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with new_store(tmp_path / "store") as repository:
        yield repository


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    path = tmp_path / "proc"
    path.mkdir()
    return path


def begin(proc: Path, run_id: str | None, *, marker: str | None = None) -> None:
    """Let there be a thread THREAD, in place of whoever had that number."""
    directory = proc / str(THREAD)
    directory.mkdir(exist_ok=True)
    variables = ["PATH=/bin", *([f"ARTFS_RUN_ID={run_id}"] if run_id is not None else []), "X="]
    (directory / "environ").write_text("\0".join(variables) + "\0")
    (directory / "fd").mkdir(exist_ok=True)
    if marker is not None:
        (directory / "fd" / "900").symlink_to(marker)


def run_in(repository: Repository) -> RunRecord:
    return repository.catalog.create_run("demo", name=None, job_type=None, config={})


def used(repository: Repository, run: RunRecord) -> list[str]:
    return [each.version for each in repository.catalog.inputs_of(run.id)]


def directory_of(version: VersionRecord) -> TreeDirectory:
    """The root of a version; nobody looks into it."""
    attributes = Attributes(1, 0o040755, 0, 0)
    return TreeDirectory(cast(Service, None), version, version.tree, attributes, parent_number=1)


# --- who asks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [("abc", "abc"), (None, None), ("", None), ("x" * 5000, None), ("a\nb", None)],
)
def test_the_run_is_in_the_environment(
    proc: Path, run_id: str | None, expected: str | None
) -> None:
    begin(proc, run_id)
    assert run_of(THREAD, proc) == expected


def test_a_mark_says_more_than_the_environment_that_the_process_began_with(proc: Path) -> None:
    begin(proc, "outer", marker="/memfd:artfs-run:inner (deleted)")
    assert run_of(THREAD, proc) == "inner"


def test_another_file_at_the_descriptor_of_the_mark_is_none(proc: Path) -> None:
    begin(proc, "outer", marker="/home/somebody/artfs-run:inner")
    assert run_of(THREAD, proc) == "outer"


def test_a_thread_that_is_gone_is_nobody(proc: Path) -> None:
    assert run_of(THREAD, proc) is None


def test_a_process_marks_itself_until_it_takes_the_mark_away() -> None:
    descriptor = mark_process("r1")
    assert descriptor is not None
    try:
        found = run_of(os.getpid())
    finally:
        unmark_process(descriptor)
    assert found == "r1"
    assert run_of(os.getpid()) is None


def test_a_file_that_took_the_place_of_the_mark_stays_open() -> None:
    descriptor = mark_process("r1")
    assert descriptor is not None
    with Path(os.devnull).open() as other:
        os.dup2(other.fileno(), descriptor)
    unmark_process(descriptor)
    os.close(descriptor)


def test_another_process_is_known_by_its_environment() -> None:
    environment = {"ARTFS_RUN_ID": "r2"}
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat"], env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # Its answer shows that it is `cat` by now.
        process.stdin.write(b"?\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"?\n"
        found = run_of(process.pid)
    assert found == "r2"


# --- recording ---------------------------------------------------------------------------------


class Mount:
    """A Lineage on a clock that stands still until it is told to jump."""

    def __init__(self, lineage: Lineage, clock: trio.testing.MockClock) -> None:
        self.lineage = lineage
        self._clock = clock

    async def opens(self, *versions: VersionRecord, thread: int = THREAD) -> None:
        for version in versions:
            await self.lineage.opened(thread, directory_of(version))

    def later(self) -> None:
        """Let a minute pass."""
        self._clock.jump(60)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass until something holds."""
        while not holds():
            await trio.testing.wait_all_tasks_blocked(0.001)
            self._clock.jump(1)


def mounted(
    repository: Repository, proc: Path, scenario: Callable[[Mount], Awaitable[None]]
) -> None:
    """Run a scenario and end the mount right after it."""
    clock = trio.testing.MockClock()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await scenario(Mount(Lineage(nursery, Threads(), repository, proc=proc), clock))
            nursery.cancel_scope.cancel()

    trio.run(run, clock=clock)


def two_versions(repository: Repository) -> tuple[VersionRecord, VersionRecord]:
    return (
        commit(repository, "demo/data", {"shared": b"1", "own": b"1"}),
        commit(repository, "demo/data", {"shared": b"1", "own": b"2"}),
    )


def test_what_a_run_opens_is_recorded_even_when_the_mount_ends_at_once(
    proc: Path, repository: Repository
) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, run.id)
    mounted(repository, proc, lambda mount: mount.opens(version, version))
    assert used(repository, run) == ["v0"]


def test_what_nobody_in_a_run_opens_is_not_recorded(proc: Path, repository: Repository) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, None)
    mounted(repository, proc, lambda mount: mount.opens(version))
    assert used(repository, run) == []


def test_a_use_is_written_once(
    proc: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, run.id)
    written = Outage(repository, monkeypatch, failures=0)

    async def scenario(mount: Mount) -> None:
        for _ in range(10):
            await mount.opens(version)
            await mount.until(lambda: bool(used(repository, run)))
            mount.later()

    mounted(repository, proc, scenario)
    assert written.calls == 1


def test_a_number_that_another_process_has_now_does_not_stand_for_the_old_one(
    proc: Path, repository: Repository
) -> None:
    old, new = two_versions(repository)
    runs = [run_in(repository), run_in(repository)]

    async def scenario(mount: Mount) -> None:
        begin(proc, runs[0].id)
        await mount.opens(old)
        mount.later()
        begin(proc, runs[1].id)
        await mount.opens(new)

    mounted(repository, proc, scenario)
    assert used(repository, runs[0]) == ["v0"]
    assert used(repository, runs[1]) == ["v1"]


def test_looking_for_a_name_uses_nothing(proc: Path, repository: Repository) -> None:
    old, new = two_versions(repository)
    run = run_in(repository)
    begin(proc, run.id)

    async def scenario(mount: Mount) -> None:
        mount.lineage.looks(THREAD, directory_of(old))
        await mount.opens(new)

    mounted(repository, proc, scenario)
    assert used(repository, run) == ["v1"]


def test_a_process_may_begin_a_run(proc: Path, repository: Repository) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)

    async def scenario(mount: Mount) -> None:
        begin(proc, None)
        await mount.opens(version)
        begin(proc, run.id)
        mount.later()
        await mount.opens(version)

    mounted(repository, proc, scenario)
    assert used(repository, run) == ["v0"]


def test_a_run_that_the_store_does_not_know_is_logged_once(
    proc: Path, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = (commit(repository, f"demo/{name}", {"a": name.encode()}) for name in "ab")
    begin(proc, "stranger")
    mounted(repository, proc, lambda mount: mount.opens(one, two))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "stranger" in caplog.text


class Outage:
    """Makes `record_use` of a catalog fail some times."""

    def __init__(self, repository: Repository, patch: pytest.MonkeyPatch, *, failures: int) -> None:
        self.calls = 0
        self._failures = failures
        self._record = repository.catalog.record_use
        patch.setattr(repository.catalog, "record_use", self)

    def __call__(self, run_id: str, version_id: str, *, use_as: str | None) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise BackendUnavailable("catalog", "out")
        self._record(run_id, version_id, use_as=use_as)


@pytest.mark.parametrize(("failures", "recorded"), [(3, ["v0"]), (4, [])])
def test_an_outage_is_waited_for_but_not_for_ever(
    proc: Path,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failures: int,
    recorded: list[str],
) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, run.id)
    outage = Outage(repository, monkeypatch, failures=failures)

    async def scenario(mount: Mount) -> None:
        await mount.opens(version)
        await mount.until(lambda: bool(used(repository, run) or caplog.records))

    mounted(repository, proc, scenario)
    # The mount's end may come before the answer to the last call, which is then made once more.
    assert outage.calls in ({4, 5} if recorded else {4})
    assert used(repository, run) == recorded
    assert len(caplog.records) == (0 if recorded else 1)


def test_an_open_waits_a_moment_only_for_a_process_that_cannot_be_read(
    proc: Path, repository: Repository
) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, run.id)
    environ = proc / str(THREAD) / "environ"
    content = environ.read_bytes()
    environ.unlink()
    # Whoever reads it waits until somebody writes.
    os.mkfifo(environ)

    async def scenario(mount: Mount) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mount.opens, version)
            await trio.testing.wait_all_tasks_blocked(0.01)
            mount.later()
        # Now nobody waits any more, and it is recorded all the same.
        await mount.opens(version)
        await trio.to_thread.run_sync(environ.write_bytes, content)
        await mount.until(lambda: bool(used(repository, run)))

    mounted(repository, proc, scenario)
    assert used(repository, run) == ["v0"]
