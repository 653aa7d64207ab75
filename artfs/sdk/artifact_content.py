"""What is in an artifact: added while it is built, read once it is logged."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Self

from artfs.catalog.records import VersionRecord
from artfs.errors import InvalidArgument
from artfs.model import StrPath, entry_path
from artfs.repository.facade import Repository
from artfs.sdk.artifact_reading import ArtifactReading
from artfs.sdk.attributes import ArtifactState
from artfs.sdk.draft import Draft
from artfs.sdk.entry import ArtifactManifestEntry, ArtifactValue
from artfs.sdk.logged import Logged
from artfs.sdk.metadata import check_use_as
from artfs.sdk.referring import ReferenceRequest, Skipped, print_announced

if TYPE_CHECKING:
    from artfs.sdk.session import CurrentRun


logger = logging.getLogger(__name__)


class ArtifactContent(ArtifactReading):
    """What is in an artifact; Artifact adds what it has to do with runs."""

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - W&B's name
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        incremental: bool | None = None,
        use_as: str | None = None,
        storage_region: str | None = None,  # noqa: ARG002 - W&B's: a store has one place
        digest_algorithm: str = "MD5",
    ) -> None:
        if digest_algorithm not in {"MD5", "XXH128"}:
            raise InvalidArgument(f"digest_algorithm {digest_algorithm!r}", "is not MD5")
        if digest_algorithm != "MD5":
            logger.warning("artifact %r: the digest is that of MD5, not of XXH128", name)
        draft = Draft(
            name,
            type,
            description=description,
            metadata=metadata,
            incremental=bool(incremental),
        )
        self._become(draft, use_as=check_use_as(use_as))

    @classmethod
    def of_version(
        cls, repository: Repository, record: VersionRecord, *, use_as: str | None = None
    ) -> Self:
        """The artifact of a version that is in the store."""
        return cls._of(Logged(repository, record), use_as=use_as)

    @classmethod
    def _of(cls, state: ArtifactState, *, use_as: str | None = None) -> Self:
        artifact = cls.__new__(cls)
        artifact._become(state, use_as=use_as)  # noqa: SLF001 - its own class
        return artifact

    def _become(self, state: ArtifactState, *, use_as: str | None) -> None:
        self._state = state
        self._use_as = use_as

    # --- building --------------------------------------------------------------------------

    def add_file(
        self,
        local_path: StrPath,
        name: StrPath | None = None,
        is_tmp: bool | None = False,
        skip_cache: bool | None = False,  # noqa: ARG002 - W&B's: nothing is copied into a cache
        policy: str | None = "mutable",
        overwrite: bool = False,
    ) -> ArtifactManifestEntry:
        """Add a local file; it is stored at once, as it is now.

        Args:
            local_path: The file; a link is followed.
            name: Its path in the artifact. Default: its base name.
            is_tmp: Name it after its content, so that names cannot collide: of `dir/x.tar.gz`
                the part up to the first dot becomes 20 hexadecimal digits of its md5.
            skip_cache: Without effect.
            policy: "mutable" or "immutable": without effect, as what is added is frozen.
            overwrite: Let it take the place of another content that has its path.

        Raises:
            ArtifactFinalizedError: if nothing can be added any more.
            ValueError: for another policy, if `local_path` is not a file, if `name` is not a
                relative path without `.`, `..` and empty parts, or holds another content already.
            SourceChanged: if the file changed while it was read.

        Example:
            >>> artifact.add_file("path/to/file.txt")  # as `file.txt`
            >>> artifact.add_file("path/to/file.txt", name="new/path/file.txt")
        """
        draft = self._draft("add_file")
        _check_policy(policy)
        path, entry = draft.add_file(
            os.fspath(local_path), _inside(name), is_tmp=bool(is_tmp), overwrite=overwrite
        )
        return ArtifactManifestEntry(self, path, entry)

    def add_dir(
        self,
        local_path: StrPath,
        name: StrPath | None = None,
        skip_cache: bool | None = False,  # noqa: ARG002 - as in add_file
        policy: str | None = "mutable",
        merge: bool = False,
    ) -> None:
        """Add everything below a local directory; it is stored at once, as it is now.

        Links are followed. Executable bits, modification times and empty directories are kept;
        they count in no digest.

        Args:
            local_path: The directory.
            name: Where it goes in the artifact. Default: the artifact's root.
            skip_cache: Without effect, as `policy`; see `add_file`.
            policy: "mutable" or "immutable".
            merge: Let files take the place of other contents that have their paths.

        Raises:
            ArtifactFinalizedError: if nothing can be added any more.
            ValueError: if `local_path` is not a directory, holds what is no file, directory or
                link, or has a path that holds another content already.
            SourceChanged: if a file changed while it was read.

        Example:
            >>> artifact.add_dir("my_dir/")  # all files in `my_dir/` come into the root
            >>> artifact.add_dir("my_dir/", name="destination")
        """
        draft = self._draft("add_dir")
        _check_policy(policy)
        draft.add_directory(os.fspath(local_path), _inside(name), overwrite=merge)

    @contextmanager
    def new_file(
        self,
        name: StrPath,
        mode: str = "w",
        encoding: str | None = None,
        policy: str | None = "mutable",
    ) -> Iterator[IO[Any]]:
        """Open a new file for writing, which is added to the artifact when it is closed.

        Args:
            name: Its path in the artifact.
            mode: How to open it: "w" for text, "wb" for bytes.
            encoding: Of text. Default: UTF-8.
            policy: Without effect; see `add_file`.

        Raises:
            ArtifactFinalizedError: if nothing can be added any more.
            ValueError: for a name that was made before, or holds another content already.

        Example:
            >>> with artifact.new_file("hello.txt") as file:
            ...     file.write("hello!")
        """
        draft = self._draft("new_file")
        _check_policy(policy)
        with draft.new_file(entry_path(name), mode, encoding) as file:
            yield file

    def add_reference(
        self,
        uri: ArtifactManifestEntry | str,
        name: StrPath | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        *,
        skip_invalid: bool = False,
    ) -> list[ArtifactManifestEntry]:
        """Add references to what a URI names; the bytes stay where they are.

        Each reference is pinned: reading it later gives exactly these bytes or fails.

        - `http(s)://`: size and digest come from the headers `Content-Length` and `ETag`.
        - `s3://`, `gs://`: from the object's metadata; the version too, where the bucket keeps
          versions. A prefix stands for every object below it.
        - `file://`: from the file. A directory stands for every file below it.
        - any other scheme: the digest is the URI itself, there is no size, and it cannot be read.

        Args:
            uri: What to refer to: a URI, or an entry of another artifact (see `get_path`).
            name: Where it goes in the artifact. Default: the base name of a single object, the
                root for a directory or prefix.
            checksum: Whether to pin it. Without, it is added faster and read unverified.
            max_objects: The most objects that a directory or prefix may have. Default: 10,000
                for buckets, else no limit. Empty objects of S3 do not count.
            skip_invalid: Whether to leave out, with a warning, what has a key that cannot be a
                path, like `a//b`. By default it is an error.

        Raises:
            ArtifactFinalizedError: if nothing can be added any more.
            ValueError: for a URI without a scheme, an unknown scheme without a name, too many
                objects, or a path that holds another content already.

        Example:
            >>> artifact.add_reference("http://myserver.com/file.txt")
            >>> artifact.add_reference("s3://mybucket/prefix")
            >>> artifact.add_reference("gs://mybucket/prefix", name="path")
        """
        draft = self._draft("add_reference")
        text = uri.ref_url() if isinstance(uri, ArtifactManifestEntry) else uri
        request = ReferenceRequest(
            uri=text,
            name=_inside(name),
            checksum=checksum,
            max_objects=max_objects,
            skip_invalid=skip_invalid,
        )
        added = draft.add_references(
            request, on_skipped=_tell_skipped, on_announced=print_announced
        )
        return [ArtifactManifestEntry(self, path, entry) for path, entry in added]

    def add(
        self, obj: ArtifactValue, name: StrPath, overwrite: bool = False
    ) -> ArtifactManifestEntry:
        """Add a value: a Table, Image, Audio, Video, Html, Object3D, Bokeh, Classes or the like.

        It is stored as `name.<kind>.json` and the files that it needs; `get(name)` makes it
        again. Where a value of this name is there already it stays, unless it is to `overwrite` it.

        Raises:
            ArtifactFinalizedError: if nothing can be added any more.
            ValueError: for an object of another class.

        Example:
            >>> table = artfs.Table(columns=["a", "b"], data=[[1, 2], [3, 4]])
            >>> artifact.add(table, "my_table")
        """
        from artfs.sdk.values import add_value  # noqa: PLC0415 - its types are heavy to import

        draft = self._draft("add")
        return add_value(self, draft.values, obj, entry_path(name), overwrite=overwrite)

    def __setitem__(self, name: StrPath, obj: ArtifactValue) -> None:
        """`artifact["my_table"] = table` is `artifact.add(table, "my_table")`."""
        self.add(obj, name)

    def add_bytes(
        self, data: bytes, name: StrPath, *, is_tmp: bool = False
    ) -> ArtifactManifestEntry:
        """Add a file with this content; arguments and errors are those of `add_file`."""
        path, entry = self._draft("add_bytes").add_bytes(data, entry_path(name), is_tmp=is_tmp)
        return ArtifactManifestEntry(self, path, entry)

    def discard_added(self, name: StrPath) -> None:
        """Take out what was added at a path, for something else to be added there."""
        self._draft("add").contents.remove(entry_path(name))

    def remove(self, item: StrPath | ArtifactManifestEntry) -> None:
        """Remove a file or reference from a draft, or a directory with all that is in it.

        Args:
            item: Its path in the artifact, or its entry. In an incremental draft, and in one that
                `new_draft` made, it may be in the version that the draft builds on.

        Raises:
            ArtifactFinalizedError: if nothing can be changed any more.
            EntryNotFound: if there is nothing at this path; it is a KeyError.

        Example:
            >>> draft = run.use_artifact("my_dataset:latest").new_draft()
            >>> draft.remove("outdated")
            >>> run.log_artifact(draft)
        """
        draft = self._draft("remove")
        path = item.path if isinstance(item, ArtifactManifestEntry) else entry_path(item)
        draft.remove(path.rstrip("/"), project=self.project)

    def find_entry(self, name: StrPath) -> ArtifactManifestEntry | None:
        """The file or reference at a path, in a draft too; None if there is none."""
        path = entry_path(name)
        leaf = self._state.find(path)
        return None if leaf is None else ArtifactManifestEntry(self, path, leaf)

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """The path in the artifact of a file that was added as exactly this local path.

        None for a path that was not added.
        """
        return self._state.added_as(local_path)

    def finalize(self) -> None:
        """Allow no more content to be added. Logging does this by itself."""
        self._state.finalize()

    # --- logging ---------------------------------------------------------------------------

    def commit_to(
        self, run: CurrentRun, *, aliases: tuple[str, ...] = (), dedupe_all: bool = False
    ) -> None:
        """Make it a version as an output of `run`; what `Run.log_artifact` is made of.

        Raises: InvalidArgument for content that is in another store than the run's;
        what `Repository.commit` raises.
        """
        record = self._state.commit(
            run.repository, run.project, aliases=aliases, run_id=run.id, dedupe_all=dedupe_all
        )
        self._become(Logged(run.repository, record), use_as=self._use_as)

    def wait(self, timeout: int | None = None) -> Self:  # noqa: ARG002 - W&B's
        """Return this artifact: artfs logs before `log_artifact` returns, so nothing is awaited.

        Raises: ArtifactNotLoggedError in a draft.
        """
        self._logged("wait")
        return self

    def delete(self, delete_aliases: bool = False) -> None:
        """Delete the version for good; `artfs gc` frees what no other version needs.

        A version that was asked of a portfolio is only taken out of that.

        Args:
            delete_aliases: Whether to delete a version that has aliases, and them with it.

        Raises:
            ArtifactNotLoggedError: in a draft.
            Conflict: if it has aliases, other than `latest`, that are not to be deleted.
        """
        self._logged("delete").delete(delete_aliases=delete_aliases)

    def new_draft(self) -> Self:
        """A draft of the next version, which begins with the content of this one.

        Nothing is copied or fetched: what is added and removed is what logging it costs. It is
        built on this version, whatever `latest` is by then.

        Raises:
            ArtifactNotLoggedError: in a draft.

        Example:
            >>> draft = run.use_artifact("my_dataset:v3").new_draft()
            >>> draft.add_file("more.txt")
            >>> run.log_artifact(draft)
        """
        logged = self._logged("new_draft")
        return self._of(Draft.of_version(logged.repository, logged.record))

    def of_id(self, version_id: str) -> Self:
        """Another artifact of the same store, by its id."""
        repository = self._logged("of_id").repository
        return self.of_version(repository, repository.catalog.version_by_id(version_id))


def _tell_skipped(each: Skipped) -> None:
    logger.warning("%s: left out %r: %s", each.uri, each.key, each.reason)


def _check_policy(policy: str | None) -> None:
    if policy not in {None, "mutable", "immutable"}:
        raise InvalidArgument(f"policy {policy!r}", "is neither mutable nor immutable")


def _inside(name: StrPath | None) -> str | None:
    return None if name is None else entry_path(name)
