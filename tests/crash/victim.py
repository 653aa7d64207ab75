"""A process that works in a staging area and is killed at one line of artfs.

    python -m tests.crash.victim STORE AREA COUNT

runs the script of operations below, and kills itself with SIGKILL when it has begun the COUNTth
line of artfs/staging, artfs/repository or artfs/content. It tells on its standard output what it
has finished. COUNT 0: it is not killed, and tells at last how many lines it ran.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from artfs.repository.stores import open_store
from artfs.staging.area import Area
from artfs.staging.commit import CommitAttempt
from tests.unit.staging.areafs import AreaFs

WATCHED = tuple(
    f"{os.sep}artfs{os.sep}{name}{os.sep}" for name in ("staging", "repository", "content")
)


class Killer:
    """Counts lines, in all threads, and kills the process at one of them."""

    def __init__(self, fatal: int) -> None:
        self.fatal = fatal
        self.count = 0

    def start(self) -> None:
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def trace(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "call":
            watched = any(name in frame.f_code.co_filename for name in WATCHED)
            return self.trace if watched else None
        if event == "line":
            self.count += 1
            if self.count == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def main() -> None:
    store, area_id, fatal = sys.argv[1], sys.argv[2], int(sys.argv[3])
    killer = Killer(fatal)
    with open_store(store) as repository:
        repository.catalog.totals()
        killer.start()
        with Area.open(repository, area_id) as area:
            fs = AreaFs(area)
            for path, data in CONTENT.items():
                fs.put(path, data)
                say(f"closed {path}")
            fs.write("base/kept", 0, b"K")
            say("wrote base/kept")
            fs.unlink("base/gone")
            say("removed base/gone")
            area.checkpoint()
            fs.rename("base/moved", "elsewhere")
            say("renamed base/moved")
            area.sync()
            commit = CommitAttempt(area)
            commit.prepare()
            report = commit.finish()
            assert report.version is not None
            say(f"committed {report.version.version}")
        sys.settrace(None)
        threading.settrace(None)
    say(f"lines {killer.count}")


BASE = {"base/kept": b"kept", "base/gone": b"gone", "base/moved/deep": b"deep"}
CONTENT = {"new/small": b"small" * 10, "new/large": b"large" * 300_000, "top": b""}


if __name__ == "__main__":
    main()
