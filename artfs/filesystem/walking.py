"""Walking a version, as it was when that began."""

from __future__ import annotations

from collections.abc import Iterator

from artfs.filesystem.files import as_os_errors
from artfs.filesystem.infos import Info
from artfs.filesystem.places import Place, children
from artfs.manifest.entries import DirectoryEntry
from artfs.repository.facade import Repository

Walked = tuple[str, dict[str, Info], dict[str, Info]]
"""A directory's address, the directories in it, and all else."""


def walk_version(
    repository: Repository, place: Place, info: Info, *, maxdepth: int | None, topdown: bool
) -> Iterator[Walked]:
    """Every directory from `place` on, however deep; where that is a file, it alone.

    Top down, what is taken out of a directory's directories meanwhile is not walked into.
    Blocks and raises: OSError, as reading directories does.
    """
    if not isinstance(place.entry, DirectoryEntry):
        yield place.text, {}, {"": info}
        return
    waiting: list[tuple[int, Place | Walked]] = [(1, place)]
    while waiting:
        depth, item = waiting.pop()
        if not isinstance(item, Place):
            yield item
            continue
        found, walked = _look(repository, item)
        if topdown:
            yield walked
        else:
            waiting.append((depth, walked))
        if maxdepth is None or depth < maxdepth:
            waiting += [(depth + 1, found[name]) for name in reversed(walked[1]) if name in found]


def _look(repository: Repository, place: Place) -> tuple[dict[str, Place], Walked]:
    found: dict[str, Place] = {}
    directories: dict[str, Info] = {}
    files: dict[str, Info] = {}
    with as_os_errors(place.text):
        for child, info in children(repository, place):
            name = child.entry.name
            if info["type"] == "directory":
                found[name], directories[name] = child, info
            else:
                files[name] = info
    return found, (place.text, directories, files)
