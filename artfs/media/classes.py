"""Sets of classes, such as those that boxes and masks are of."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from artfs.errors import InvalidValue
from artfs.media.types.containers import union
from artfs.media.types.media import ClassesIdType
from artfs.media.types.scalars import ConstType
from artfs.media.value import Value

if TYPE_CHECKING:
    from artfs.media.types.base import Type
    from artfs.sdk.run import Artifact

_COLUMN_FILE = "media/cls"


class Classes(Value):
    """A set of classes: what the ids in boxes, masks and columns of ids stand for.

    Args:
        class_set: Dicts with an `id` and a `name`; other keys are kept.

    Raises:
        ValueError: for a class that has no id or no name.

    Example:
        >>> classes = artfs.Classes([{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])
        >>> image = artfs.Image("pets.png", classes=classes)
    """

    artifact_suffix: ClassVar[str] = "classes"
    declared_type: ClassVar[Type]

    def __init__(self, class_set: Iterable[dict[str, Any]]) -> None:
        self._class_set = list(class_set)
        for each in self._class_set:
            if "id" not in each or "name" not in each:
                raise InvalidValue("Classes", f"{each!r} needs an id and a name")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classes):
            return NotImplemented
        return self._class_set == other._class_set

    def __hash__(self) -> int:
        return hash(tuple(str(each["id"]) for each in self._class_set))

    @property
    def class_set(self) -> list[dict[str, Any]]:
        """The classes, as they were given."""
        return self._class_set

    def to_json(self, artifact: Artifact | None = None) -> dict[str, Any]:
        """Its JSON value; no file is needed."""
        del artifact
        return {"_type": self.artifact_suffix, "class_set": self._class_set}

    @classmethod
    def from_json(cls, value: dict[str, Any], artifact: Artifact) -> Self:
        """Make it again from its JSON value."""
        del artifact
        return cls(value.get("class_set", ()))

    def get_type(self) -> Type:
        """The type of a column that holds ids of these classes: `Table(dtype=[...])`."""
        return ClassesIdType(self, union(ConstType(each["id"]) for each in self._class_set))

    def column_type(self) -> Type:
        """The type of a cell that holds the set itself."""
        return self.get_type()

    def add_to(self, artifact: Artifact, name: str) -> dict[str, str]:
        """Add it under `name` to a draft; JSON that names the file."""
        entry = artifact.add(self, name)
        return {"type": "classes-file", "path": entry.path, "digest": entry.digest}

    def reference_in(self, artifact: Artifact | None) -> dict[str, Any]:
        """JSON that names the file of a column of ids, which is added to the draft `artifact`."""
        if artifact is None:
            return self.to_json()
        md5 = hashlib.md5(json.dumps(self.to_json(), sort_keys=True).encode()).digest()
        there = artifact.find_entry(f"{_COLUMN_FILE}.{self.artifact_suffix}.json")
        if there is None or there.digest == base64.b64encode(md5).decode():
            return self.add_to(artifact, _COLUMN_FILE)
        # W&B would name the other set's file here.
        return self.add_to(artifact, f"media/{md5.hex()[:20]}_cls")

    @classmethod
    def from_reference(cls, value: dict[str, Any], artifact: Artifact) -> Classes:
        """The set that JSON names or holds."""
        if "path" not in value:
            return cls.from_json(value, artifact)
        return cls.from_json(json.loads(artifact.get_path(value["path"]).read_bytes()), artifact)


Classes.declared_type = Classes(()).get_type()
