"""Schemes that nobody handles: a reference is kept and shown, and cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from artfs.credentials import without_credentials
from artfs.errors import InvalidArgument, Unsupported
from artfs.manifest.entries import ReferenceEntry
from artfs.references.base import Described, Source, described

logger = logging.getLogger(__name__)


class UnknownHandler:
    """Implements ReferenceHandler: the digest is the URI itself, and there is no size."""

    def describe(
        self,
        uri: str,
        *,
        name: str | None,
        checksum: bool,  # noqa: ARG002 - the port's signature
        max_objects: int | None,  # noqa: ARG002 - the port's signature
    ) -> Iterator[Described]:
        """See ReferenceHandler; a name is mandatory."""
        public = without_credentials(uri)
        if name is None:
            raise InvalidArgument(
                public, "a reference with an unknown scheme needs a name", hint="pass name="
            )
        logger.warning("%s: a reference with an unknown scheme cannot be checksummed", public)
        yield described(name, public, public)

    def open(self, entry: ReferenceEntry) -> Source:
        """See ReferenceHandler."""
        scheme = entry.uri.partition(":")[0].lower()
        raise Unsupported(
            entry.uri,
            f"references of the scheme {scheme!r} cannot be read",
            hint=f"install a package that handles {scheme}:// for artfs",
        )
