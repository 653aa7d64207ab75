"""The count that every long operation keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from artfs.system.progress import Progress, ProgressMeter, Stopped


def test_what_is_expected_and_done_adds_up_whichever_thread_reports_it() -> None:
    seen: list[Progress] = []
    meter = ProgressMeter(seen.append)
    meter.advance(size_bytes=1)
    assert seen == [Progress(0, 1, None, None)]
    meter.expect(size_bytes=1000)
    assert meter.progress == Progress(0, 1, None, 1000)
    meter.expect(files=3, size_bytes=1)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            pool.submit(meter.advance, files=1, size_bytes=2)
    assert meter.progress == seen[-1] == Progress(100, 201, 3, 1001)
    assert [each.files_done for each in seen[-100:]] == list(range(1, 101))


def test_who_reports_after_a_stop_gives_up() -> None:
    meter = ProgressMeter()
    meter.stop()
    with pytest.raises(Stopped):
        meter.advance_bytes(1)
