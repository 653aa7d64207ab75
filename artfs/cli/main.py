"""The entry point `artfs`: as little as possible stands before Ctrl-C is heard."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

INTERRUPTED_EXIT_CODE = 130
_GRACE_S = 2.0
_LAST_STREAM = 2


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    _open_missing_streams()
    _read_names_as_utf8()
    try:
        from artfs.cli.app import run  # noqa: PLC0415 - Ctrl-C during the imports is caught too

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        _leave_interrupted()
    sys.exit(code)


def _open_missing_streams() -> None:
    """Open what is closed of 0, 1 and 2, or the next file gets its number and what is printed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _LAST_STREAM:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _read_names_as_utf8() -> None:
    """Begin again where Python would read names in another encoding than versions have."""
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def _leave_interrupted() -> NoReturn:
    """Leave soon: at its end Python would wait for every thread that waits for a server."""
    import threading  # noqa: PLC0415 - nothing else needs it here

    with suppress(OSError, KeyboardInterrupt):
        sys.stderr.write("artfs: interrupted\n")
        sys.stdout.flush()
        # Others are about to remove what they had half written.
        until_s = time.monotonic() + _GRACE_S
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join(max(0.0, until_s - time.monotonic()))
    os._exit(INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    main()
