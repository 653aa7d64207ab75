"""How logs are written."""

from __future__ import annotations

import logging
import sys

from artfs.credentials import shown


class LogFormatter(logging.Formatter):
    """Formats lines of a log, whoever wrote them, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return shown(super().format(record))


def log_to_stderr(level: int) -> None:
    """Write all that is logged from `level` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
