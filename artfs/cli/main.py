"""The entry point `artfs`: as little as possible stands before Ctrl-C is heard."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

INTERRUPTED_EXIT_CODE = 130


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        from artfs.cli.app import run  # noqa: PLC0415 - Ctrl-C during the imports is caught too

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("artfs: interrupted\n")
        with suppress(OSError):
            sys.stdout.flush()
        # At its end Python would wait for threads that wait for a server.
        os._exit(INTERRUPTED_EXIT_CODE)
    sys.exit(code)


if __name__ == "__main__":
    main()
