"""Where the bytes of a media value are: in a local file, in an artifact, or behind a URL."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from artfs import forks

if TYPE_CHECKING:
    from artfs.sdk.run import Artifact

_HASH_CHARS = 20
_URL = re.compile(r"^(gs|s3|https?)://")


def is_url(text: str) -> bool:
    """Whether it names a foreign object, and not a local file."""
    return _URL.match(text) is not None


def as_text(source: Any) -> Any:
    """A path object as text; anything else as it is."""
    return os.fspath(source) if isinstance(source, os.PathLike) else source


class MediaBytes(Protocol):
    """The bytes of a media value, read when they are asked for."""

    @property
    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the bytes; of a URL, that of its text."""
        ...

    @property
    def name(self) -> str:
        """What the file is called, for the sake of its suffix."""
        ...

    def path(self) -> str:
        """A local file with the bytes. Blocks: may download it."""
        ...

    def open(self) -> BinaryIO:
        """The bytes from the start."""
        ...

    def add_to(self, artifact: Artifact, directory: str) -> str:
        """Add it to a draft, below `directory` where it is new there; its path in the draft."""
        ...


class LocalMedia:
    """A file of the user. It is hashed and stored when it is added, as it is then."""

    def __init__(self, path: str) -> None:
        # Found out here, and not when the artifact is logged.
        os.stat(path)  # noqa: PTH116 - it may be no valid Path, and its error names it as given
        self._path = path

    @cached_property
    def sha256(self) -> str:
        with Path(self._path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def name(self) -> str:
        return os.path.basename(self._path)  # noqa: PTH119 - the path is used as it was given

    def path(self) -> str:
        return self._path

    def open(self) -> BinaryIO:
        return Path(self._path).open("rb")

    def add_to(self, artifact: Artifact, directory: str) -> str:
        known = artifact.get_added_local_path_name(self._path)
        if known is not None:
            return known
        name = f"{directory}/{self.sha256[:_HASH_CHARS]}/{self.name}"
        return artifact.add_file(self._path, name=name).path


class MadeFile(LocalMedia):
    """A temporary file that was made for a value, and is removed with it.

    In an artifact it is called after its content.
    """

    def __init__(self, data: bytes, suffix: str) -> None:
        descriptor, path = tempfile.mkstemp(prefix="artfs-media-", suffix=suffix)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        super().__init__(path)
        self._suffix = suffix
        forks.finalize(self, _remove, path)

    def add_to(self, artifact: Artifact, directory: str) -> str:
        known = artifact.get_added_local_path_name(self._path)
        if known is not None:
            return known
        # What stands before the first dot becomes the hash.
        name = f"{directory}/content{self._suffix}"
        return artifact.add_file(self._path, name=name, is_tmp=True).path


class StoredFile:
    """A file of a logged artifact. Adding it elsewhere adds a reference to it."""

    def __init__(self, artifact: Artifact, path: str, sha256: str) -> None:
        self._artifact = artifact
        self._path = path
        self._sha256 = sha256

    @property
    def sha256(self) -> str:
        return self._sha256

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def path(self) -> str:
        return self._artifact.get_path(self._path).download()

    def open(self) -> BinaryIO:
        return io.BytesIO(self._artifact.get_path(self._path).read_bytes())

    def add_to(self, artifact: Artifact, directory: str) -> str:
        entry = self._artifact.get_path(self._path)
        name, there = self._path, artifact.find_entry(self._path)
        if there is not None:
            if there.digest == entry.digest:
                return name
            name = f"{directory}/{self._sha256[:_HASH_CHARS]}/{self.name}"
        return artifact.add_reference(entry, name=name)[0].path


class UrlContent:
    """A foreign object: an artifact gets a reference to it."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()

    @property
    def name(self) -> str:
        return os.path.basename(self.url)  # noqa: PTH119 - a URL

    def path(self) -> str:
        return self.url

    def open(self) -> BinaryIO:
        raise FileNotFoundError(f"{self.url}: is a reference; log it to read it")

    def add_to(self, artifact: Artifact, directory: str) -> str:
        name = f"{directory}/{self.sha256[:_HASH_CHARS]}/{self.name}"
        return artifact.add_reference(self.url, name=name)[0].path


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
