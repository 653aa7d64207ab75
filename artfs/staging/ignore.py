"""The `.artfsignore` of a staging area: what it matches is in the area, and in no version."""

from __future__ import annotations

from pathlib import Path

from artfs.content.base import read_range
from artfs.model import ByteRange
from artfs.repository.ignore import (
    IGNORE_FILE,
    MAX_IGNORE_BYTES,
    IsIgnored,
    ignore_rules,
    own_names_ignored,
)
from artfs.staging.area import Area
from artfs.staging.nodes import FileNode
from artfs.system.oserrors import translate_os_errors


def area_ignore_rules(area: Area) -> IsIgnored:
    """The rules of an area's own ignore file; without one only names of artfs are.

    Raises: ArtfsError. Blocks: to read the file.
    """
    tree = area.tree
    node = tree.child(tree.root, IGNORE_FILE)
    if not isinstance(node, FileNode):
        return own_names_ignored
    if node.content is None:
        path = Path(tree.plain.path(node.id))
        with translate_os_errors(path), path.open("rb") as file:
            return ignore_rules(file.read(MAX_IGNORE_BYTES))
    content = area.repository.content(node.content)
    return ignore_rules(read_range(content, ByteRange(0, MAX_IGNORE_BYTES)))
