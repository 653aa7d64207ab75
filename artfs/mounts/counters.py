"""What a mount did, in numbers. Imports nothing, so that clients can read it too."""

from __future__ import annotations

import msgspec


class Counters(msgspec.Struct, kw_only=True):
    """Totals since the mount started, and what is held now; bytes are of content."""

    lookups: int = 0
    listings: int = 0
    """Requests for a part of a directory."""
    opens: int = 0
    open_files: int = 0
    """Open now."""
    reads: int = 0
    bytes_served: int = 0
    """Sent to the kernel, which keeps them: a second read may not be seen here."""
    blocks_loaded: int = 0
    bytes_loaded: int = 0
    """Read from the store or network, and verified."""
    bytes_buffered: int = 0
    """Held in memory now."""
    errors: int = 0
    """Answers that were an error, but for names that do not exist."""
