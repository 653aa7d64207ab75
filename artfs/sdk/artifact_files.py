"""The files of a version as W&B's public API lists them: `Artifact.files()`."""

from __future__ import annotations

import mimetypes
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, overload

from artfs.errors import CommError
from artfs.sdk.entry import ArtifactManifestEntry, EntryOwner, ListEntries
from artfs.system.oserrors import translate_os_errors


class ArtifactFile:
    """One file or reference of a version."""

    def __init__(self, entry: ArtifactManifestEntry) -> None:
        self._entry = entry

    def __repr__(self) -> str:
        return f"<ArtifactFile {self.name} ({self.mimetype}, {self.size} B)>"

    @property
    def name(self) -> str:
        """The path in the artifact."""
        return self._entry.path

    @property
    def size(self) -> int | None:
        """Size in bytes; None for a reference whose size is unknown."""
        return self._entry.size

    @property
    def md5(self) -> str:
        """The W&B digest."""
        return self._entry.digest

    @property
    def digest(self) -> str:
        """The W&B digest, again."""
        return self._entry.digest

    @property
    def mimetype(self) -> str:
        """The kind of content, by the name."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    @property
    def url(self) -> str:
        """A URI that other artifacts can refer to it by."""
        return self._entry.ref_url()

    def download(
        self,
        root: str = ".",
        replace: bool = False,
        exist_ok: bool = False,
    ) -> TextIO:
        """Write it below `root`, and return it opened for reading text.

        Raises: CommError where a file is there, that is not to be replaced; what
        `Artifact.download` raises.
        """
        path = Path(root, self.name)
        if not path.exists() or replace:
            # Whatever is there is replaced in one step, by verified bytes.
            with translate_os_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            aside = tempfile.mkdtemp(prefix=".artfs-", dir=path.parent)
            try:
                made = self._entry.download(aside)
                with translate_os_errors(path):
                    Path(made).replace(path)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        elif not exist_ok:
            raise CommError(
                str(path), "is there already", hint="say replace=True, or exist_ok=True"
            )
        return path.open(encoding="utf-8", errors="replace")


class ArtifactFiles:
    """The files of a version, in the order of their paths."""

    def __init__(
        self, artifact: EntryOwner, list_entries: ListEntries, names: list[str] | None
    ) -> None:
        self._artifact = artifact
        self._list_entries = list_entries
        self._names = None if names is None else frozenset(names)

    def __repr__(self) -> str:
        return f"<ArtifactFiles of {self._artifact.name}>"

    def __iter__(self) -> Iterator[ArtifactFile]:
        for path, entry in self._list_entries():
            if self._names is None or path in self._names:
                yield ArtifactFile(ArtifactManifestEntry(self._artifact, path, entry))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, position: int) -> ArtifactFile: ...

    @overload
    def __getitem__(self, position: slice) -> list[ArtifactFile]: ...

    def __getitem__(self, position: int | slice) -> ArtifactFile | list[ArtifactFile]:
        return list(self)[position]
