"""What a commit of known content still says: description, metadata, tags, lifetime, aliases."""

from __future__ import annotations

from typing import Any

from artfs.catalog.base import Catalog
from artfs.catalog.records import CommitRequest, VersionRecord, VersionUpdate


def set_labels(
    catalog: Catalog, version: VersionRecord, request: CommitRequest
) -> tuple[VersionRecord, tuple[str, ...]]:
    """Give an existing version what the request says of it; what it leaves out stays.

    Returns the version and the names of what has changed, in the words of VersionUpdate.
    Raises: VersionNotFound, BackendUnavailable.
    """
    changes: dict[str, Any] = {}
    if request.description is not None and request.description != version.description:
        changes["description"] = request.description
    if request.metadata and request.metadata != version.metadata:
        changes["metadata"] = request.metadata
    if request.tags and set(request.tags) != set(version.tags):
        changes["tags"] = request.tags
    if request.ttl_s is not None and request.ttl_s != version.ttl_s:
        changes["ttl_s"] = request.ttl_s
    missing = tuple(alias for alias in request.aliases if alias not in version.aliases)
    if changes or missing:
        update = VersionUpdate(add_aliases=missing, **changes)
        version = catalog.update_version(version.id, update)
    return version, tuple(changes)
