"""What is in an artifact: lists of it, its values, and downloads."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from artfs.errors import InvalidArgument
from artfs.model import StrPath, entry_path
from artfs.sdk.artifact_files import ArtifactFiles
from artfs.sdk.attributes import ArtifactAttributes
from artfs.sdk.entry import ArtifactManifest, ArtifactManifestEntry, EntryOwner
from artfs.sdk.watching import watching

if TYPE_CHECKING:
    from artfs.system.progress import OnProgress


class ArtifactReading(ArtifactAttributes):
    """The reading of artifacts; ArtifactContent adds their building."""

    @property
    def _owner(self) -> EntryOwner:
        """This artifact, as its entries know it: with what ArtifactContent adds, it is one."""
        return cast(EntryOwner, self)

    @property
    def manifest(self) -> ArtifactManifest:
        """The list of all files and references. In a draft, reading it finalizes."""
        self._state.finalize()
        return ArtifactManifest(self._owner, self._state.entries)

    def get_path(self, name: StrPath) -> ArtifactManifestEntry:
        """The file or reference at a path in the artifact.

        Raises:
            ArtifactNotLoggedError: in a draft.
            PathNotFound: if there is none; it is a KeyError.

        Example:
            >>> artifact = run.use_artifact("my_dataset:latest")
            >>> artifact.get_path("file.txt").download()
        """
        path = entry_path(name)
        return ArtifactManifestEntry(self._owner, path, self._logged("get_path").entry(path))

    def get_entry(self, name: StrPath) -> ArtifactManifestEntry:
        """The newer name of `get_path`."""
        path = entry_path(name)
        return ArtifactManifestEntry(self._owner, path, self._logged("get_entry").entry(path))

    def files(
        self,
        names: list[str] | None = None,
        per_page: int = 50,  # noqa: ARG002 - W&B's
        start: str | None = None,  # noqa: ARG002 - W&B's
    ) -> ArtifactFiles:
        """The version's files, by path; with `names` only those of these paths.

        Raises: ArtifactNotLoggedError in a draft.
        """
        self._logged("files")
        return ArtifactFiles(self._owner, self._state.entries, names)

    def file(self, root: StrPath | None = None) -> str:
        """Download the only file of the version, and return its path.

        Args:
            root: Where to. Default: `./artifacts/<name>:v<N>`.

        Raises:
            ArtifactNotLoggedError: in a draft.
            ValueError: if it has none, or several.
        """
        self._logged("file")
        paths = [path for path, _ in islice(self._state.entries(), 2)]
        if len(paths) != 1:
            raise InvalidArgument(
                self.name,
                "has more than one file" if paths else "has no file",
                hint="call download(), or get_entry(path).download()",
            )
        return self.download_entry(paths[0], None if root is None else os.fspath(root))

    def get(self, name: StrPath) -> Any:
        """The value that was added under `name`; None if there is none.

        Only the files that it needs are fetched.

        Raises:
            ArtifactNotLoggedError: in a draft.
        """
        from artfs.sdk.values import get_value  # noqa: PLC0415 - its types are heavy to import

        self._logged("get")
        return get_value(self._owner, entry_path(name))

    def __getitem__(self, name: StrPath) -> Any:
        """`artifact["my_table"]` is `artifact.get("my_table")`."""
        return self.get(name)

    def download(
        self,
        root: StrPath | None = None,
        recursive: bool = False,
        path_prefix: StrPath | None = None,
        *,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,  # noqa: ARG002 - W&B's: what is cached is verified
        multipart: bool | None = None,  # noqa: ARG002 - W&B's: large files come in parts anyway
        link: bool = False,
        on_progress: OnProgress | None = None,
    ) -> str:
        """Write the artifact's files to a directory and return its path.

        Files that are there and right are kept; other files stay. All content is verified. It
        can be broken off at any time and goes on where it was. Where the file system of store
        and root can, files share the disk space of the store until they are changed.

        Args:
            root: Where to. Default: `./artifacts/<name>:v<N>`.
            recursive: Also download the artifacts that this one refers to.
            path_prefix: Only write paths that begin with this.
            allow_missing_references: Leave out references that lead to nothing any more, or to
                something else, with a warning.
            skip_cache: Without effect.
            multipart: Without effect.
            link: Hard-link files of 1 MiB and more out of an embedded store where that can be.
                They are the store's own files: read-only, with its times, and never to be
                written to.
            on_progress: Called with a `Progress` now and then. Without it a notebook shows a bar
                where this takes longer than a second.

        Raises:
            ArtifactNotLoggedError: in a draft.
            IntegrityError: if stored bytes are damaged; ReferenceChanged if foreign ones changed.
        """
        logged = self._logged("download")
        with watching(f"downloading {logged.record.path}", on_progress) as report:
            return logged.download(
                None if root is None else os.fspath(root),
                recursive=recursive,
                path_prefix=os.fspath(path_prefix or ""),
                skip_missing=allow_missing_references,
                link=link,
                on_progress=report,
            )

    def download_entry(self, name: str, root: str | None = None, *, link: bool = False) -> str:
        """Write one file and return its path; see `ArtifactManifestEntry.download`."""
        return self._logged("download").download_entry(name, root, link=link)

    def read_entry(self, name: str) -> bytes:
        """All bytes of one file; see `ArtifactManifestEntry.read_bytes`."""
        return self._logged("read_entry").read_entry(name)

    def checkout(self, root: str | None = None) -> str:
        """Make a directory hold exactly the artifact's files and return its path.

        Everything else in it is deleted.

        Args:
            root: The directory. Default: `./artifacts/<name>`.

        Raises:
            ArtifactNotLoggedError: in a draft.
        """
        return self._logged("checkout").checkout(root)

    def verify(self, root: str | None = None) -> bool:
        """Check that a directory holds exactly the artifact's files. References are not checked.

        Args:
            root: The directory. Default: that of `download`, which is downloaded first.

        Raises:
            ArtifactNotLoggedError: in a draft.
            ValueError: if a file is missing, additional or different.
        """
        return self._logged("verify").verify(root)
