"""What all value types have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

from artfs.errors import Unsupported
from artfs.media.media_bytes import MediaBytes, StoredFile
from artfs.media.types.base import Type, Typed

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

_EXTRA = {"numpy": "numpy", "PIL": "pillow"}
"""Packages of the extra `media`, by the module that they have."""


def require(module: str, purpose: str) -> Any:
    """A module that is no dependency of artfs. Raises: Unsupported where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        package = "artfs[media]" if top in _EXTRA else top
        raise Unsupported(
            purpose, f"needs {_EXTRA.get(top, top)}", hint=f"pip install '{package}'"
        ) from error


def numpy(purpose: str) -> Any:
    """numpy. Raises: Unsupported where it is not installed."""
    return require("numpy", purpose)


def is_array(value: object) -> bool:
    """Whether it is a numpy array; numpy is not imported for it."""
    return type(value).__module__ == "numpy" and type(value).__name__ == "ndarray"


def is_from(value: object, package: str) -> bool:
    """Whether the class of a value, or one that it derives from, belongs to a package."""
    return any(
        base.__module__ == package or base.__module__.startswith(f"{package}.")
        for base in type(value).__mro__
    )


class Value(Typed, ABC):
    """An object that an artifact can hold; see `artfs.sdk.values.ArtifactValue`."""

    artifact_suffix: ClassVar[str]

    declared_type: ClassVar[Type]
    """The type of a column that is declared to hold objects of this class."""

    artifact_home: tuple[Artifact, str] | None = None

    def column_type(self) -> Type:
        """The type of a cell that holds this object."""
        return self.declared_type

    @abstractmethod
    def to_json(self, artifact: Artifact) -> Any:
        """Its JSON value, after adding the files that it needs to the draft `artifact`."""

    @classmethod
    @abstractmethod
    def from_json(cls, value: Any, artifact: Artifact) -> Self:
        """Make it again from its JSON value and, when they are needed, files of `artifact`."""


class Media(Value):
    """A value whose substance is one file: a picture, a sound, a page."""

    media_directory: ClassVar[str]
    """Where in an artifact its file goes."""

    _content: MediaBytes
    _caption: str | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Media):
            return NotImplemented
        return type(self) is type(other) and self._sha256 == other._sha256

    def __hash__(self) -> int:
        return hash(self._sha256)

    @property
    def _path(self) -> str:
        return self._content.path()

    @property
    def _sha256(self) -> str:
        return self._content.sha256

    def open(self) -> BinaryIO:
        """Its file from the start, for reading. Blocks: fetches it, where it is in an artifact.

        Raises: FileNotFoundError for a URL, and for a local file that is gone; what
        `ArtifactManifestEntry.read_bytes` raises.
        """
        return self._content.open()

    def to_json(self, artifact: Artifact) -> dict[str, Any]:
        """Its JSON value, after adding its file to the draft `artifact`."""
        return {
            "_type": self.artifact_suffix,
            "path": self._content.add_to(artifact, self.media_directory),
            "sha256": self._content.sha256,
        }

    @classmethod
    def from_json(cls, value: Any, artifact: Artifact) -> Self:
        """Make it again from its JSON value; its file is read when it is used."""
        made = cls.__new__(cls)
        made._restore(value, artifact)  # noqa: SLF001 - its own class
        return made

    def _restore(self, value: dict[str, Any], artifact: Artifact) -> None:
        self._content = StoredFile(artifact, value["path"], value["sha256"])
        self._caption = value.get("caption")
