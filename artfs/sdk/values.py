"""Values in artifacts: storing an object as JSON under a name, and making it again.

What a value looks like as JSON, and which files it needs beside it, is the business of its class
in `artfs.media`; this module knows only how values and artifacts go together.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from artfs.errors import InvalidArgument
from artfs.sdk.entry import ArtifactManifestEntry, ArtifactValue, EntryOwner

if TYPE_CHECKING:
    from collections.abc import Mapping

_HASHED_PREFIX = "media/tables"
"""Values below this path are named after their content, as W&B does with logged tables."""


AddedValues = dict[int, tuple[object, ArtifactManifestEntry]]
"""Values of a draft by identity; the objects are kept so that no identity is used again."""


def stored_name(suffix: str, name: str) -> str:
    """The path of a value called `name` that is stored with `suffix`, which is never doubled."""
    # W&B looks for the suffix without its dot: `mytable.json` is the name of a table already.
    ending = f"{suffix}.json"
    return name if name.endswith(ending) else f"{name}.{ending}"


def add_value(
    artifact: EntryOwner,
    added: AddedValues,
    value: ArtifactValue,
    name: str,
    *,
    overwrite: bool = False,
) -> ArtifactManifestEntry:
    """What `Artifact.add` does.

    A value that was added before, or whose path is taken and not to be overwritten, gives the
    entry that is there; one
    that is in a logged artifact already is stored as a reference to it.
    Raises: InvalidArgument for an object that is no value; what adding its files raises.
    """
    if not isinstance(value, ArtifactValue):
        raise InvalidArgument(
            f"{type(value).__name__} object", "is not a value that an artifact can hold"
        )
    path = stored_name(value.artifact_suffix, name)
    if id(value) in added and not (overwrite and added[id(value)][1].path == path):
        return added[id(value)][1]
    home = value.artifact_home
    if home is not None and home[0].id is not None:
        if overwrite and artifact.find_entry(path) is not None:
            artifact.discard_added(path)
        return artifact.add_reference(home[0].get_path(home[1]), path)[0]
    data = json.dumps(value.to_json(artifact), sort_keys=True).encode()
    entry = artifact.find_entry(path)
    if entry is not None and overwrite:
        artifact.discard_added(path)
        entry = None
    if entry is None:
        entry = artifact.add_bytes(data, path, is_tmp=name.startswith(_HASHED_PREFIX))
    added[id(value)] = (value, entry)
    if home is None:
        value.artifact_home = (artifact, entry.path)
    return entry


def get_value(artifact: EntryOwner, name: str) -> ArtifactValue | None:
    """What `Artifact.get` does. Raises: what reading the artifact raises."""
    for suffix, value_type in _value_types().items():
        path = stored_name(suffix, name)
        entry = artifact.find_entry(path)
        if entry is not None:
            return _made_again(value_type, artifact, path, entry)
    return None


def _made_again(
    value_type: type[ArtifactValue], artifact: EntryOwner, path: str, entry: ArtifactManifestEntry
) -> ArtifactValue:
    target = entry.target()
    if target is not None:
        # Its files are in the artifact that it was first added to.
        artifact, path = target
        entry = artifact.get_path(path)
    value = value_type.from_json(json.loads(entry.read_bytes()), artifact)
    value.artifact_home = (artifact, path)
    return value


def _value_types() -> Mapping[str, type[ArtifactValue]]:
    from artfs.media.registry import value_types  # noqa: PLC0415 - media classes are heavy

    return value_types()
