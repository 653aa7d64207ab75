"""One read has one budget of attempts and time, whoever spends it, and says what it spent."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest

from artfs.errors import BackendUnavailable, ConfigError, DeadlineExceeded
from artfs.manifest.entries import Pin, ReferenceEntry
from artfs.model import BLOCK_SIZE_BYTES, ByteRange
from artfs.mounts.options import MountOptions, parse_options
from artfs.references.base import TransientFailure
from artfs.references.http import HttpHandler
from artfs.references.retry import RetryPolicy
from artfs.settings import TIMEOUT_VARIABLE
from tests.servers.faultproxy import Fault, fault_proxy
from tests.servers.nginx import Nginx
from tests.servers.scripted import Asked, answer, redirect, scripted, trickling
from tests.support.references import QUICK, Reading

DATA = Random(13).randbytes(2 * BLOCK_SIZE_BYTES + 700_000)
BROKEN = answer(200, DATA, etag='"e"', content_length=str(len(DATA)))[: BLOCK_SIZE_BYTES + 9000]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path / "cache", {"http": HttpHandler(policy=QUICK)})


def test_a_server_that_ignores_ranges_and_breaks_off_is_given_up_after_the_attempts(
    reading: Reading,
) -> None:
    with scripted(lambda _: BROKEN) as server:
        content = reading.reader.content(reading.one(f"{server.url}/a"))
        for count in (1, 2):
            before, sent = len(server.asked), server.sent_bytes
            with pytest.raises(BackendUnavailable, match=r"gave up after 3 attempts, \d+ bytes"):
                content.load_block(2)
            assert len(server.asked) - before == QUICK.attempts, count
            assert server.sent_bytes - sent == QUICK.attempts * len(BROKEN)


def test_what_came_on_the_way_gives_no_attempt_back(reading: Reading) -> None:
    """Blocks that pass by again, and were delivered before, are no progress."""
    with scripted(lambda _: BROKEN) as server:
        content = reading.reader.content(reading.one(f"{server.url}/a"))
        before = len(server.asked)
        run = content.load_run(0, 3)  # type: ignore[attr-defined]
        assert next(run) == DATA[:BLOCK_SIZE_BYTES]
        with pytest.raises(BackendUnavailable, match="gave up after 3 attempts"):
            list(run)
        assert len(server.asked) - before == QUICK.attempts


def test_what_lies_before_what_is_missing_is_no_progress(reading: Reading) -> None:
    """A server that begins too early, and breaks off before it gets there, brings nothing."""

    def script(asked: Asked) -> bytes:
        start, stop = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
        begun = max(0, start - 1_000_000)
        data = DATA[begun : stop + 1]
        spans = f"bytes {begun}-{stop}/{len(DATA)}"
        size = str(len(data))
        sent = data[:500_000] if start else data
        return answer(206, sent, etag='"e"', content_range=spans, content_length=size)

    with scripted(lambda _: BROKEN) as server:
        entry = reading.one(f"{server.url}/a")
        server.script = script
        before = len(server.asked)
        content = reading.reader.content(entry)
        with pytest.raises(BackendUnavailable, match="gave up after 3 attempts"):
            content.load_block(1)
        assert len(server.asked) - before == QUICK.attempts


def test_readers_that_waited_for_one_that_gave_up_share_its_failure(reading: Reading) -> None:
    go = threading.Event()
    with scripted(lambda _: BROKEN) as server:
        content = reading.reader.content(reading.one(f"{server.url}/a"))
        with pytest.raises(BackendUnavailable):
            content.load_block(2)
        before = len(server.asked)

        def script(_: object) -> bytes:
            go.wait()
            return BROKEN

        server.script = script
        errors: list[BackendUnavailable] = []

        def read() -> None:
            try:
                content.load_block(2)
            except BackendUnavailable as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        while sum(_is_in(thread, "_turn") for thread in threads) < len(threads) - 1:
            pass
        go.set()
        for thread in threads:
            thread.join()
        assert len(errors) == len(threads)
        assert len(server.asked) - before == QUICK.attempts


def _is_in(thread: threading.Thread, function: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == function


def test_a_first_byte_that_takes_longer_than_a_step_is_waited_for(
    nginx: Nginx, reading: Reading
) -> None:
    nginx.write("late.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        entry = reading.one(f"{proxy.url}/plain/late.bin")
        proxy.set(Fault(delay_s=2 * QUICK.step_timeout_s))
        assert reading.reader.content(entry).load_block(0) == DATA[:BLOCK_SIZE_BYTES]


def test_a_limit_that_was_hit_is_named_with_what_raises_it(nginx: Nginx, reading: Reading) -> None:
    nginx.write("never.bin", DATA)
    with fault_proxy(nginx.url) as proxy:
        entry = reading.one(f"{proxy.url}/plain/never.bin")
        proxy.set(Fault(never_answer=True))
        with pytest.raises(DeadlineExceeded) as caught:
            reading.reader.content(entry).load_block(0)
        text = str(caught.value)
        assert f"{QUICK.deadline_s:g} s" in text
        assert "-o timeout=S" in text
        assert TIMEOUT_VARIABLE in text


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nX: ", b"x"), (b"", b"H")],
)
def test_a_head_that_does_not_end_is_no_answer(beginning: bytes, piece: bytes) -> None:
    """However often a server says a little, an answer has the time of a step, and no more."""
    with trickling(beginning, piece) as url, pytest.raises(BackendUnavailable, match="in time"):
        described(f"{url}/a")


def test_a_length_of_a_chunk_that_does_not_end_is_no_body() -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n\r\n'
    policy = RetryPolicy(deadline_s=0.5, step_timeout_s=0.1)
    with trickling(head, b"0") as url:
        source = HttpHandler(policy=policy).open(reference(f"{url}/a"))
        began_s = time.monotonic()
        with (
            pytest.raises(TransientFailure),
            source.read(ByteRange(0, 100), timeout_s=0.1) as body,
        ):
            list(body)
        assert time.monotonic() - began_s < 5


def test_all_redirects_together_have_the_time_of_one_answer() -> None:
    def script(asked: Asked) -> bytes:
        time.sleep(0.03)
        return redirect(f"/{len(asked.path)}{asked.path}")

    with scripted(script) as server, pytest.raises(BackendUnavailable) as caught:
        described(f"{server.url}/a")
    assert "redirects take too long" in str(caught.value) or "in time" in str(caught.value)
    # One attempt alone would follow thirty.
    assert len(server.asked) < 25


def described(uri: str) -> None:
    """Describe a reference, within half a second."""
    policy = RetryPolicy(deadline_s=0.5, step_timeout_s=0.1)
    began_s = time.monotonic()
    handler = HttpHandler(policy=policy)
    try:
        list(handler.describe(uri, name=None, checksum=True, max_objects=None))
    finally:
        assert time.monotonic() - began_s < 5


def reference(uri: str) -> ReferenceEntry:
    return ReferenceEntry("a", uri, "digest", 100, Pin(etag='"e"'), {}, 0)


def test_every_limit_of_time_follows_from_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for timeout_s in (6.0, 60.0, 600.0):
        monkeypatch.setenv(TIMEOUT_VARIABLE, str(timeout_s))
        policy = RetryPolicy.standard()
        assert timeout_s / 2 < policy.deadline_s < timeout_s
        assert policy.step_timeout_s < policy.deadline_s / 2
        assert MountOptions().read_timeout_s == timeout_s
        assert parse_options(["timeout=7"]).read_timeout_s == 7
    monkeypatch.delenv(TIMEOUT_VARIABLE)
    assert MountOptions().read_timeout_s == 60
    for wrong in ("0", "-1", "nan", "1e9", "soon"):
        monkeypatch.setenv(TIMEOUT_VARIABLE, wrong)
        with pytest.raises(ConfigError, match="timeout"):
            RetryPolicy.standard()
