"""The entry point `artfs`: as little as possible stands before Ctrl-C is heard."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

INTERRUPTED_EXIT_CODE = 130
_GRACE_S = 2.0


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    _read_names_as_utf8()
    try:
        from artfs.cli.app import run  # noqa: PLC0415 - Ctrl-C during the imports is caught too

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        _leave_interrupted()
    sys.exit(code)


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
