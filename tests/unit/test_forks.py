"""What a fork leaves to both sides: locks, descriptors, things in the midst of being done."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from artfs import forks
from artfs.system.threads import Once
from tests.support.forked import living_child, works_in_child


@contextmanager
def in_thread(work: Iterator[None]) -> Iterator[None]:
    """Another thread gets as far as the first `yield` of `work`, and goes on after the block."""
    reached, go_on = Event(), Event()

    def run() -> None:
        for _ in work:
            reached.set()
            go_on.wait()

    thread = Thread(target=run)
    thread.start()
    reached.wait()
    try:
        yield
    finally:
        go_on.set()
        thread.join()


class Steps:
    """Two numbers that are equal whenever nobody holds the lock."""

    def __init__(self) -> None:
        self.lock = forks.lock()
        self.first = self.second = 0

    def count(self, until: Event) -> None:
        while not until.is_set():
            with self.lock:
                self.first += 1
                for _ in range(100):
                    pass
                self.second += 1

    def is_whole(self) -> bool:
        with self.lock:
            return self.first == self.second


def test_a_lock_is_free_in_a_child_and_what_it_guards_is_whole() -> None:
    steps, stop = Steps(), Event()
    threads = [Thread(target=steps.count, args=(stop,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert works_in_child(steps.is_whole)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_fork_waits_for_what_must_not_be_cut() -> None:
    inside, seen = Event(), list[str]()

    def work() -> None:
        with forks.undivided():
            inside.set()
            for _ in range(10_000):
                seen.append("step")
            seen.append("done")

    thread = Thread(target=work)
    thread.start()
    inside.wait()
    assert works_in_child(lambda: seen[-1] == "done")
    thread.join()


def test_nothing_begins_while_a_fork_waits() -> None:
    began = list[str]()

    def first() -> Iterator[None]:
        with forks.undivided():
            yield

    class Late:
        def __init__(self) -> None:
            forks.before_fork(self.look)

        def look(self) -> None:
            self.thread = Thread(target=self.begin)
            self.thread.start()
            self.thread.join(0.1)
            began.append("forked")

        def begin(self) -> None:
            with forks.undivided():
                began.append("began")

    late = Late()
    assert works_in_child(lambda: began == ["forked"])
    late.thread.join()
    assert began == ["forked", "began"]


def test_a_fork_from_inside_does_not_wait_for_itself() -> None:
    lock = forks.lock()

    def use() -> None:
        with forks.undivided(), lock:
            pass

    with forks.undivided(), forks.undivided(), lock:
        assert works_in_child(use)
        with lock:
            pass
    assert works_in_child(use)


def test_threads_that_wait_for_each_other_do_not_hold_up_a_fork() -> None:
    lock, stop = forks.lock(), Event()

    def lock_first() -> None:
        while not stop.is_set():
            with lock, forks.undivided():
                pass

    def gate_first() -> None:
        while not stop.is_set():
            with forks.undivided():
                if lock.acquire(timeout=0.01):
                    lock.release()

    threads = [Thread(target=work) for work in (lock_first, gate_first, lock_first, gate_first)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert works_in_child(lambda: lock.acquire(blocking=False))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_two_threads_that_fork_at_once_do_it_one_after_the_other() -> None:
    done = list[bool]()

    def fork_often() -> None:
        done.extend(works_in_child(lambda: None) for _ in range(8))

    threads = [Thread(target=fork_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 32


def test_a_turn_of_another_thread_is_not_waited_for_and_free_in_the_child() -> None:
    turn = forks.turn()

    def hold() -> Iterator[None]:
        with turn:
            yield

    with in_thread(hold()):
        assert works_in_child(lambda: turn.acquire(blocking=False))
        assert not turn.acquire(blocking=False)


def test_a_fork_waits_no_longer_than_it_says_and_the_child_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forks, "LONGEST_WAIT_S", 0.0)
    lock = forks.lock()

    def hold() -> Iterator[None]:
        with lock, forks.undivided():
            yield

    def use() -> bool:
        with forks.undivided():
            return lock.acquire(blocking=False)

    with in_thread(hold()):
        assert works_in_child(use)
    assert lock.acquire(blocking=False)
    lock.release()


def test_starting_a_program_waits_for_nothing() -> None:
    def hold() -> Iterator[None]:
        with forks.lock(), forks.undivided():
            yield

    with in_thread(hold()):
        subprocess.run([sys.executable, "-c", ""], check=True)
        assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0


def test_a_lock_on_a_file_ends_with_its_process_though_a_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def hold() -> Iterator[None]:
        fd = forks.open_private(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        forks.close_private(fd)

    work = hold()
    with in_thread(work):
        child = living_child()
        child.__enter__()
    try:
        with path.open() as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.__exit__(None, None, None)


def test_what_a_process_tidies_up_at_its_end_a_child_leaves_alone(tmp_path: Path) -> None:
    class Owner:
        pass

    owner = Owner()
    path = tmp_path / "file"
    path.touch()
    forks.finalize(owner, path.unlink)

    def drop() -> bool:
        nonlocal owner
        del owner
        return path.exists()

    assert works_in_child(drop)
    assert path.exists()
    owner = Owner()
    assert not path.exists()


def test_what_is_made_once_is_made_anew_in_a_child() -> None:
    made = Once(os.getpid)
    assert made() == os.getpid()
    assert works_in_child(lambda: made() == os.getpid())
    assert made() == os.getpid()
