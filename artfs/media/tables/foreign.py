"""Tables that come into an artifact because another value there refers to them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artfs.sdk.entry import ArtifactValue
    from artfs.sdk.run import Artifact

_DIRECTORY = "media/tables"
_NAME_CHARS = 20


def add_unnamed(artifact: Artifact, table: ArtifactValue) -> str:
    """Add a table that has no name of its own to a draft, if it is not there; its path."""
    home, name = table.artifact_home, "t"  # below this directory it is renamed after its content
    if home is not None and home[0].id is not None:
        # A reference is not renamed: its name must not be that of another table.
        name = hashlib.md5(f"{home[0].id}/{home[1]}".encode()).hexdigest()[:_NAME_CHARS]
    return artifact.add(table, f"{_DIRECTORY}/{name}").path
