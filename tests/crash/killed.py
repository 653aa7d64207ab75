"""Runs `artfs` and kills it, with SIGKILL, when it is about to run the Nth line of artfs's code.

    python killed.py N ARGUMENT...

Lines of imports do not count.

With N = 0 it runs to the end and prints, on standard error, how many lines it ran.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import artfs
import artfs.catalog.copies
import artfs.catalog.sql
import artfs.cli.commands.copy
import artfs.cli.commands.doctor
import artfs.cli.commands.gc
import artfs.cli.commands.put
import artfs.repository.stores
import artfs.sdk.publish
import artfs.upkeep.copying
from artfs.cli.app import run

PACKAGE = str(Path(artfs.__file__).parent)


def main() -> int:
    # Where it dies of something else, that is said.
    faulthandler.enable()
    limit, arguments = int(sys.argv[1]), sys.argv[2:]
    lines = count(1)
    reached = 0

    def on_line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal reached
        if event == "line":
            reached = next(lines)
            if reached == limit:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return on_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    threading.settrace(on_call)
    sys.settrace(on_call)
    code = run(arguments)
    sys.settrace(None)
    print(reached, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
