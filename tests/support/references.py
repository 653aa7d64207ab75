"""Reading references in tests: a reader with a cache of its own and short deadlines."""

from __future__ import annotations

from pathlib import Path

from artfs.blobs.cache import BlockCache
from artfs.blobs.cache_eviction import Quota
from artfs.content.base import read_blocks
from artfs.content.references import ReferenceReader
from artfs.manifest.entries import ReferenceEntry
from artfs.references.base import ReferenceHandler
from artfs.references.registry import References
from artfs.references.retry import RetryPolicy

QUICK = RetryPolicy(
    deadline_s=6.0, step_timeout_s=1.0, attempts=3, first_delay_s=0.01, max_delay_s=0.05
)
PATIENT = RetryPolicy()
"""For what has to be answered, however many others have the processor."""
ROOMY = Quota(limit_bytes=1 << 40, reserve_bytes=0)


class Reading:
    """References, their cache, and the reader of both."""

    def __init__(
        self,
        root: Path,
        handlers: dict[str, ReferenceHandler],
        quota: Quota = ROOMY,
        *,
        policy: RetryPolicy = QUICK,
    ) -> None:
        self.references = References(handlers)
        self.cache = BlockCache(root, quota)
        self.reader = ReferenceReader(self.references, self.cache, policy=policy)

    def one(self, uri: str, *, checksum: bool = True) -> ReferenceEntry:
        """The entry of a reference to one object."""
        [(_, entry)] = self.references.describe(uri, name="entry", checksum=checksum)
        return entry

    def bytes_of(self, entry: ReferenceEntry) -> bytes:
        """All of its content."""
        return b"".join(read_blocks(self.reader.content(entry)))
