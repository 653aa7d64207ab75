"""What libraries in C, and the programs that they start, write to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2


@contextmanager
def captured_stderr(said: list[str]) -> Iterator[None]:
    """Add what is written to standard error meanwhile to `said`; it gets there as well."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    taken = os.memfd_create("stderr", os.MFD_CLOEXEC)
    try:
        os.dup2(taken, _STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STDERR)
            data = os.pread(taken, os.fstat(taken).st_size, 0)
            said.append(data.decode(errors="replace"))
            if data:
                os.write(_STDERR, data)
    finally:
        os.close(taken)
        os.close(kept)
