"""Whoever looks at a file sees what others write: mapped, through the page cache, and past it."""

from __future__ import annotations

import mmap
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artfs.fuse.writing import drops_written_pages
from tests.support.staging import Stager

PAGE_BYTES = 4096


@pytest.mark.parametrize(
    ("release", "drops"),
    [
        ("6.18.44-generic", True),
        ("7.0.1", True),
        ("6.17.9", False),
        ("6.1.0-18-amd64", False),
        ("5.15.167.4-microsoft-standard-WSL2", False),
        ("unknown", False),
    ],
)
def test_only_kernels_that_drop_written_pages_are_written_past(
    release: str, *, drops: bool
) -> None:
    assert drops_written_pages(release) is drops


def test_a_mapped_file_shows_what_is_written_to_it_alone(staged: Stager) -> None:
    path = staged() / "file"
    path.write_bytes(b"a" * (3 * PAGE_BYTES))
    with (
        path.open("rb", buffering=0) as reader,
        mmap.mmap(reader.fileno(), 0, prot=mmap.PROT_READ) as mapped,
        path.open("r+b", buffering=0) as changer,
        mmap.mmap(changer.fileno(), 0) as changed,
    ):
        assert mapped[:] == reader.read() == b"a" * (3 * PAGE_BYTES)
        changed[PAGE_BYTES - 1 : PAGE_BYTES + 1] = b"mm"
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, b"ww", PAGE_BYTES + 1)
        assert mapped[PAGE_BYTES - 2 : PAGE_BYTES + 4] == b"ammwwa"
        changed[PAGE_BYTES + 2 : PAGE_BYTES + 4] = b"nn"
        os.pwrite(fd, b"v", PAGE_BYTES)
        assert mapped[PAGE_BYTES - 2 : PAGE_BYTES + 5] == b"amvwnna"
        os.close(fd)
        assert os.pread(reader.fileno(), 7, PAGE_BYTES - 2) == b"amvwnna"
    assert path.read_bytes() == b"a" * (PAGE_BYTES - 1) + b"mvwnn" + b"a" * (2 * PAGE_BYTES - 4)


def test_whoever_follows_a_file_that_grows_never_reads_what_was_not_written(
    staged: Stager,
) -> None:
    path = staged() / "log"
    path.touch()
    lines = [f"{number} ".encode() * 17 + b"\n" for number in range(3000)]
    whole = b"".join(lines)

    def write() -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        for line in lines:
            os.write(fd, line)
        os.close(fd)

    def follow() -> None:
        deadline_s = time.monotonic() + 60
        with path.open("rb", buffering=0) as reader:
            seen = 0
            while seen < len(whole):
                # From the page that was the last one: it is cached, and must not stay as it was.
                start = seen // PAGE_BYTES * PAGE_BYTES
                found = os.pread(reader.fileno(), 1 << 20, start)
                assert found == whole[start : start + len(found)]
                seen = start + len(found)
                assert time.monotonic() < deadline_s

    with ThreadPoolExecutor() as pool:
        followers = [pool.submit(follow) for _ in range(2)]
        pool.submit(write).result()
        for follower in followers:
            follower.result()


def test_a_version_has_what_was_written_in_every_way(staged: Stager) -> None:
    mountpoint = staged()
    path: Path = mountpoint / "file"
    path.write_bytes(bytes(PAGE_BYTES))
    with (
        path.open("r+b", buffering=0) as changer,
        mmap.mmap(changer.fileno(), 0) as changed,
        path.open("ab", buffering=0) as appender,
    ):
        changed[:2] = b"mm"
        appender.write(b"appended")
        os.pwrite(changer.fileno(), b"pp", 2)
    staged.finish(mountpoint)
    assert staged.version() == {"file": b"mmpp" + bytes(PAGE_BYTES - 4) + b"appended"}
