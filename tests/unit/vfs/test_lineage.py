from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from artfs.catalog.records import RunRecord, VersionRecord
from artfs.engine.threads import Threads
from artfs.errors import BackendUnavailable
from artfs.repository.facade import Repository
from artfs.sdk.marker import mark_process, unmark_process
from artfs.vfs.callers import identify
from artfs.vfs.evidence import Evidence, Told, now_s, used_versions
from artfs.vfs.lineage import Lineage
from tests.support.stores import commit, new_store

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
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


def begin(
    proc: Path, run_id: str | None, *, started_at_s: float, marker: str | None = None
) -> None:
    """Let there be a thread THREAD, in place of whoever had that number."""
    directory = proc / str(THREAD)
    directory.mkdir(exist_ok=True)
    ticks = int(started_at_s * TICKS_PER_S)
    (directory / "stat").write_text(f"{THREAD} (a) b (c) R {'0 ' * 18}{ticks} 0 0\n")
    variables = ["PATH=/bin", *([f"ARTFS_RUN_ID={run_id}"] if run_id is not None else []), "X="]
    (directory / "environ").write_text("\0".join(variables) + "\0")
    (directory / "fd").mkdir(exist_ok=True)
    if marker is not None:
        (directory / "fd" / "900").symlink_to(marker)


def run_in(repository: Repository) -> RunRecord:
    return repository.catalog.create_run("demo", name=None, job_type=None, config={})


def used(repository: Repository, run: RunRecord) -> list[str]:
    return [each.version for each in repository.catalog.inputs_of(run.id)]


def in_one(version: VersionRecord) -> Told:
    return Told(frozenset({version.id}), version.id)


# --- evidence ----------------------------------------------------------------------------------


def evidence(*inside: str, named: str | None = None) -> Evidence:
    found = Evidence()
    for version_id in inside:
        found.inside(version_id)
    if named is not None:
        found.named(named)
    return found


BOTH = Told(frozenset({"a", "b"}), "a")


@pytest.mark.parametrize(
    ("told", "seen", "expected"),
    [
        # In one version only: nothing else can be meant, whatever was looked at.
        (Told(frozenset({"a"}), "a"), [evidence("b", named="c"), evidence("b")], {"a"}),
        (BOTH, [evidence("b"), evidence("a")], {"b"}),
        (BOTH, [evidence("a", "b"), evidence()], {"a", "b"}),
        (BOTH, [evidence("c"), evidence("b")], {"b"}),
        (Told(frozenset({"a", "b", "c"}), "c"), [evidence("a", "b", "d")], {"a", "b"}),
        # To look into a version says more than to ask for its name.
        (BOTH, [evidence("b", named="a"), evidence()], {"b"}),
        (BOTH, [evidence("c", named="b"), evidence("a")], {"b"}),
        (BOTH, [evidence(), evidence(named="b")], {"b"}),
        (BOTH, [evidence("c", named="d"), evidence("c")], {"a"}),
        (BOTH, [], {"a"}),
    ],
)
def test_the_version_that_was_opened(told: Told, seen: list[Evidence], expected: set[str]) -> None:
    assert used_versions(told, seen, evidence()) == expected


def test_where_nothing_else_speaks_it_is_what_anybody_looked_at_last() -> None:
    everybody = evidence("a", "b")
    assert used_versions(BOTH, [evidence("c")], everybody) == {"b"}
    everybody.named("a")
    assert used_versions(BOTH, [evidence("c")], everybody) == {"a"}


def test_only_the_last_name_that_was_asked_for_counts() -> None:
    found = evidence(named="a")
    found.named("b")
    assert found.choose(BOTH) == {"b"}


def test_what_was_named_last_stays_that_when_evidence_is_merged() -> None:
    older, newer = evidence(named="a"), evidence(named="b")
    newer.add(older)
    assert newer.choose(BOTH) == {"b"}
    older.add(newer)
    assert older.choose(BOTH) == {"b"}


def test_evidence_from_before_a_moment_can_be_forgotten() -> None:
    found = evidence("a", named="a")
    moment_s = now_s()
    found.inside("b")
    found.forget_before(moment_s)
    assert found.choose(BOTH) == {"b"}
    found.forget_before(now_s())
    assert found.choose(BOTH) == frozenset()


def test_evidence_is_bounded_and_the_oldest_goes_first() -> None:
    found = evidence(*(f"v{index}" for index in range(300)))
    assert not found.choose(Told(frozenset({"v0"}), "v0"))
    assert found.choose(Told(frozenset({"v299"}), "v299"))


# --- who asks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_id", "expected"),
    [("abc", "abc"), (None, None), ("", None), ("x" * 5000, None), ("a\nb", None)],
)
def test_the_run_is_in_the_environment(
    proc: Path, run_id: str | None, expected: str | None
) -> None:
    begin(proc, run_id, started_at_s=12.5)
    caller = identify(THREAD, proc)
    assert caller is not None
    assert (caller.run_id, caller.started_at_s) == (expected, 12.5)


def test_a_mark_says_more_than_the_environment_that_the_process_began_with(proc: Path) -> None:
    begin(proc, "outer", started_at_s=1, marker="/memfd:artfs-run:inner (deleted)")
    caller = identify(THREAD, proc)
    assert caller is not None
    assert caller.run_id == "inner"


def test_another_file_at_the_descriptor_of_the_mark_is_none(proc: Path) -> None:
    begin(proc, "outer", started_at_s=1, marker="/home/somebody/artfs-run:inner")
    caller = identify(THREAD, proc)
    assert caller is not None
    assert caller.run_id == "outer"


def test_a_thread_that_is_gone_is_nobody(proc: Path) -> None:
    assert identify(THREAD, proc) is None


def test_a_process_marks_itself_until_it_takes_the_mark_away() -> None:
    descriptor = mark_process("r1")
    assert descriptor is not None
    try:
        caller = identify(os.getpid())
    finally:
        unmark_process(descriptor)
    assert caller is not None
    assert caller.run_id == "r1"
    assert 0 < caller.started_at_s <= now_s()
    after = identify(os.getpid())
    assert after is not None
    assert after.run_id is None


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
        caller = identify(process.pid)
    assert caller is not None
    assert caller.run_id == "r2"


# --- recording ---------------------------------------------------------------------------------


class Mount:
    """A Lineage on a clock that stands still until it is told to jump."""

    def __init__(self, lineage: Lineage, clock: trio.testing.MockClock) -> None:
        self.lineage = lineage
        self._clock = clock

    async def opens(self, *told: Told, thread: int = THREAD) -> None:
        for each in told:
            await self.lineage.opened(thread, each)

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
    begin(proc, run.id, started_at_s=0)
    mounted(repository, proc, lambda mount: mount.opens(in_one(version), in_one(version)))
    assert used(repository, run) == ["v0"]


def test_what_nobody_in_a_run_opens_is_not_recorded(proc: Path, repository: Repository) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, None, started_at_s=0)
    mounted(repository, proc, lambda mount: mount.opens(in_one(version)))
    assert used(repository, run) == []


def test_a_use_is_written_once(
    proc: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)
    begin(proc, run.id, started_at_s=0)
    written = Outage(repository, monkeypatch, failures=0)

    async def scenario(mount: Mount) -> None:
        for _ in range(10):
            await mount.opens(in_one(version))
            await mount.until(lambda: bool(used(repository, run)))
            mount.later()

    mounted(repository, proc, scenario)
    assert written.calls == 1


def test_a_number_that_another_process_has_now_does_not_stand_for_the_old_one(
    proc: Path, repository: Repository
) -> None:
    old, new = two_versions(repository)
    runs = [run_in(repository), run_in(repository)]
    # What the old thread saw of v0 must not count for the new one.
    told = Told(frozenset({old.id, new.id}), new.id)

    async def scenario(mount: Mount) -> None:
        begin(proc, runs[0].id, started_at_s=0)
        mount.lineage.visited(THREAD, old.id)
        await mount.opens(told)
        mount.lineage.visited(99, new.id)
        mount.later()
        begin(proc, runs[1].id, started_at_s=now_s() + 1)
        await mount.opens(told)

    mounted(repository, proc, scenario)
    assert used(repository, runs[0]) == ["v0"]
    assert used(repository, runs[1]) == ["v1"]


def test_a_process_may_begin_a_run(proc: Path, repository: Repository) -> None:
    version, run = commit(repository, "demo/data", {"a": b"1"}), run_in(repository)

    async def scenario(mount: Mount) -> None:
        begin(proc, None, started_at_s=0)
        await mount.opens(in_one(version))
        begin(proc, run.id, started_at_s=0)
        mount.later()
        await mount.opens(in_one(version))

    mounted(repository, proc, scenario)
    assert used(repository, run) == ["v0"]


def test_what_one_thread_of_a_run_looked_at_tells_what_another_opens(
    proc: Path, repository: Repository
) -> None:
    old, new = two_versions(repository)
    other, run = commit(repository, "demo/other", {"a": b"1"}), run_in(repository)
    begin(proc, run.id, started_at_s=0)
    (proc / "99").symlink_to(proc / str(THREAD))

    async def scenario(mount: Mount) -> None:
        mount.lineage.visited(99, new.id)
        await mount.opens(in_one(other), thread=99)
        await mount.opens(Told(frozenset({old.id, new.id}), old.id))

    mounted(repository, proc, scenario)
    assert {each.path for each in repository.catalog.inputs_of(run.id)} == {
        "demo/other:v0",
        "demo/data:v1",
    }


def test_a_run_that_the_store_does_not_know_is_logged_once(
    proc: Path, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = (commit(repository, f"demo/{name}", {"a": name.encode()}) for name in "ab")
    begin(proc, "stranger", started_at_s=0)
    mounted(repository, proc, lambda mount: mount.opens(in_one(one), in_one(two)))
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
    begin(proc, run.id, started_at_s=0)
    outage = Outage(repository, monkeypatch, failures=failures)

    async def scenario(mount: Mount) -> None:
        await mount.opens(in_one(version))
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
    begin(proc, run.id, started_at_s=0)
    environ = proc / str(THREAD) / "environ"
    content = environ.read_bytes()
    environ.unlink()
    # Whoever reads it waits until somebody writes.
    os.mkfifo(environ)

    async def scenario(mount: Mount) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mount.opens, in_one(version))
            await trio.testing.wait_all_tasks_blocked(0.01)
            mount.later()
        # Now nobody waits any more, and it is recorded all the same.
        await mount.opens(in_one(version))
        await trio.to_thread.run_sync(environ.write_bytes, content)
        await mount.until(lambda: bool(used(repository, run)))

    mounted(repository, proc, scenario)
    assert used(repository, run) == ["v0"]
