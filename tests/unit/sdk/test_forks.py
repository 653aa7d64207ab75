"""Artifacts, runs and files in the making, in processes that fork."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import artfs
from artfs.errors import InvalidArgument
from artfs.sdk.session import shared_repository
from tests.support.forked import ends_well, start, works_in_child
from tests.unit.sdk.helpers import logged, write


def content(name: str, path: str) -> bytes:
    return artfs.Api().artifact(name).get_path(path).read_bytes()


def test_parent_and_child_both_log_what_was_added_before_the_fork(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    files = {f"{number}": f"{number}" * 1000 for number in range(3000)}
    for name, text in files.items():
        with artifact.new_file(name) as file:
            file.write(text)

    def log(extra: str) -> None:
        with artifact.new_file("extra") as file:
            file.write(extra)
        run.log_artifact(artifact, aliases=[extra])

    child = start(lambda: log("child"))
    log("parent")
    assert ends_well(child)
    for who in ("child", "parent"):
        found = artfs.Api().artifact(f"data:{who}")
        assert found.get_path("extra").read_bytes() == who.encode()
        assert {name: found.get_path(name).read_bytes().decode() for name in files} == files


def test_a_child_goes_on_with_a_draft_when_its_parent_is_gone(workplace: Path) -> None:
    read_end, write_end = os.pipe()

    def parent() -> None:
        run = artfs.init(project="demo")
        artifact = logged_later()
        parent_pid = os.getpid()

        def child() -> None:
            while os.getppid() == parent_pid:
                os.sched_yield()
            run.log_artifact(artifact)
            os.write(write_end, b"logged")

        start(child)
        os._exit(0)

    assert works_in_child(parent)
    os.close(write_end)
    assert os.read(read_end, 16) == b"logged"
    os.close(read_end)
    assert content("data", "x") == b"before the fork"


def logged_later() -> artfs.Artifact:
    artifact = artfs.Artifact("data", type="dataset")
    with artifact.new_file("x") as file:
        file.write("before the fork")
    return artifact


def test_a_child_that_ends_leaves_its_parents_draft_alone(run: artfs.Run) -> None:
    artifact = logged_later()

    def end() -> None:
        nonlocal artifact
        del artifact

    assert works_in_child(end)
    run.log_artifact(artifact)
    assert content("data", "x") == b"before the fork"


def test_a_child_writes_nothing_to_a_file_of_its_parents_block(run: artfs.Run) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    with artifact.new_file("x") as file:
        file.write("in the buffer, ")

        def write_too() -> None:
            file.write("of the child")
            file.close()

        assert works_in_child(write_too)
        file.write("and behind it")
    run.log_artifact(artifact)
    assert content("data", "x") == b"in the buffer, and behind it"


@pytest.mark.parametrize("by_error", [True, False])
def test_the_file_of_a_block_stays_with_the_process_that_began_it(
    by_error: bool, run: artfs.Run
) -> None:
    artifact = artfs.Artifact("data", type="dataset")
    child = -1
    try:
        with artifact.new_file("x") as file:
            file.write("whole")
            child = os.fork()
            if child == 0 and by_error:
                raise SystemExit  # noqa: TRY301 - as a child ends
            if child:
                assert ends_well(child)
    except (SystemExit, InvalidArgument) as error:
        assert child == 0
        expected = by_error or "forked" in str(error)
        os._exit(0 if expected else 1)
    if child == 0:
        os._exit(2)
    run.log_artifact(artifact)
    assert content("data", "x") == b"whole"


def test_a_child_joins_its_parents_run_and_does_not_end_it(
    run: artfs.Run, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> bool:
        with artfs.init(project="demo") as joined:
            logged(joined, {"x": "child"})
        return joined.id == run.id and not caplog.records

    assert works_in_child(work)
    assert run.state == "running"
    assert [artifact.name for artifact in run.logged_artifacts()] == ["data:v0"]


def test_a_childs_store_is_the_one_that_its_parent_opened(workplace: Path) -> None:
    """A draft that was begun before goes on there: the store is the same."""
    write(workplace, {"x": "1"})
    artifact = artfs.Artifact("data", type="dataset")
    artifact.add_file("x")
    before = shared_repository()

    def save() -> bool:
        artifact.save()
        return shared_repository() is before

    assert works_in_child(save)
    assert content("data", "x") == b"1"
