"""`.artfsignore`: which files of a staging area are left out of its versions.

The syntax is that of `.gitignore`. Only the file at the root counts, and it only says what is
left out of a version: what it matches is in the staging area as everything else is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from artfs.content.base import read_range
from artfs.model import ByteRange
from artfs.staging.area import Area
from artfs.staging.nodes import FileNode
from artfs.system.oserrors import translate_os_errors

IGNORE_FILE = ".artfsignore"
_MAX_BYTES = 1024 * 1024

IsIgnored = Callable[[str, bool], bool]
"""Told a path below the root, and whether it is a directory."""


def ignore_rules(area: Area) -> IsIgnored:
    """The rules of an area's own ignore file; without one nothing is ignored.

    Raises: ArtfsError. Blocks: to read the file.
    """
    tree = area.tree
    node = tree.child(tree.root, IGNORE_FILE)
    if not isinstance(node, FileNode):
        return _nothing
    if node.content is None:
        path = Path(tree.plain.path(node.id))
        with translate_os_errors(path), path.open("rb") as file:
            text = file.read(_MAX_BYTES)
    else:
        text = read_range(area.repository.content(node.content), ByteRange(0, _MAX_BYTES))
    # Imported here: most areas have no such file, and regular expressions take long.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    spec = GitIgnoreSpec.from_lines(text.decode(errors="replace").splitlines())

    def is_ignored(path: str, is_directory: bool) -> bool:
        return spec.match_file(f"{path}/" if is_directory else path)

    return is_ignored


def _nothing(_path: str, _is_directory: bool) -> bool:
    return False
