"""`artfs://` for fsspec, and so for pandas, pyarrow, DuckDB, zarr, dask, datasets and others.

It reads through the repository as mounts and downloads do: the same block cache, the same proof
of every byte. It needs neither FUSE nor root. Nothing it knows of names is kept: each call asks
where an alias leads now, and a walk asks once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar, NoReturn

from fsspec.spec import AbstractFileSystem, make_instance

from artfs.credentials import shown
from artfs.errors import ReadOnly
from artfs.filesystem.files import ArtfsFile, OpenedPlace, RangeReader, as_os_errors
from artfs.filesystem.infos import Info, content_key, entry_info, time_of, version_info
from artfs.filesystem.places import Place, children, find_link, find_place, list_names, names_info
from artfs.filesystem.walking import walk_version
from artfs.manifest.entries import DirectoryEntry, FileEntry, ReferenceEntry
from artfs.repository.addresses import Address, parse_address, plain
from artfs.repository.facade import Repository
from artfs.sdk.session import repository_to_read
from artfs.settings import URL_SCHEME, chosen_project, expand_home, is_url, store_location
from artfs.system.threads import in_parallel

logger = logging.getLogger(__name__)

_WORKERS = 8
_HINT = "`artfs put` and `artfs stage` make versions"


class ArtfsFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """The versions of a store, read-only.

    Args:
        store: A directory, or the URL of a shared store or W&B server. Default: that of the
            current run, else `$ARTFS_STORE`, else the configuration's.
        project: That of addresses that mention none, as `artfs://digits:latest/train.csv`.
    """

    protocol: ClassVar[str] = URL_SCHEME
    root_marker: ClassVar[str] = ""

    def __init__(
        self, store: str | None = None, project: str | None = None, **storage_options: Any
    ) -> None:
        super().__init__(**storage_options)
        self._store = store
        self._project = project

    def __reduce__(self) -> Any:
        # Another process, maybe in another environment, reads the same store. A password of the
        # environment is not carried along.
        chosen = store_location(self.store)
        options = dict(self.storage_options)
        if not self.storage_args and shown(chosen) == chosen:
            options["store"] = chosen if is_url(chosen) else str(expand_home(chosen).absolute())
        return make_instance, (type(self), self.storage_args, options)

    @property
    def store(self) -> str | None:
        """The store that was asked for; None: the default one."""
        return self._store

    @property
    def repository(self) -> Repository:
        """The store, opened. Blocks. Raises: StoreNotFound, BackendUnavailable, ConfigError."""
        return repository_to_read(self._store)

    @property
    def fsid(self) -> str:
        """The same for the same store."""
        info = self.repository.info
        return f"{URL_SCHEME}_{info.id or info.location}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        found = super()._strip_protocol(path)
        return [plain(each) for each in found] if isinstance(found, list) else plain(found)

    # --- names -----------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> Info:
        """What is at an address, with `sha256`, `md5` and W&B's `digest` of a file.

        Raises: FileNotFoundError, OSError.
        """
        text, address, repository = self._parse(path)
        with as_os_errors(text):
            if address.selector is None:
                return names_info(repository, text, address)
            place = find_link(repository, text, address)
            return _place_info(repository, place)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Info] | list[str]:
        """What is in a directory; a file is listed as itself.

        Raises: FileNotFoundError, OSError.
        """
        text, address, repository = self._parse(path)
        with as_os_errors(text):
            if address.selector is None:
                found = list_names(repository, text, address)
            else:
                place = find_place(repository, text, address)
                if isinstance(place.entry, DirectoryEntry):
                    found = [info for _, info in children(repository, place)]
                else:
                    found = [_place_info(repository, place)]
        return found if detail else [each["name"] for each in found]

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[OSError], object] = "omit",
        **kwargs: Any,
    ) -> Iterator[Any]:
        """As fsspec says. A version is walked as it is when that begins; links are not followed.

        What is not there is left out, and what cannot be read is an error.
        """
        text, address, repository = self._parse(path)
        if address.selector is None:
            yield from super().walk(path, maxdepth, topdown, on_error, **kwargs)
            return
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        try:
            with as_os_errors(text):
                place = find_place(repository, text, address)
                info = _place_info(repository, place)
        except OSError as error:
            if callable(on_error):
                on_error(error)
            elif on_error == "raise" or not isinstance(error, FileNotFoundError):
                raise
            return
        walked = walk_version(repository, place, info, maxdepth=maxdepth, topdown=topdown)
        for where, directories, files in walked:
            if kwargs.get("detail"):
                yield where, directories, files
                continue
            names = list(directories)
            yield where, names, list(files)
            for name in directories.keys() - set(names):
                # Whoever walks does not want it.
                del directories[name]

    def exists(self, path: str, **_: Any) -> bool:
        """Whether something is there. Raises: OSError where that cannot be told."""
        return self._kind(path) not in {None, "link"}

    def lexists(self, path: str, **_: Any) -> bool:
        """Whether something is there, be it a link that leads to nothing. Raises: as `exists`."""
        return self._kind(path) is not None

    def isfile(self, path: str) -> bool:
        """Whether a file is there. Raises: as `exists`."""
        return self._kind(path) == "file"

    def isdir(self, path: str) -> bool:
        """Whether a directory is there. Raises: as `exists`."""
        return self._kind(path) == "directory"

    def _kind(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return None

    def ukey(self, path: str) -> str:
        """The SHA-256 of a file: the same wherever and in whatever version it is.

        Raises: FileNotFoundError, OSError.
        """
        text, address, repository = self._parse(path)
        with as_os_errors(text):
            if address.selector is None:
                return str(super().ukey(path))
            return content_key(find_place(repository, text, address).entry)

    def checksum(self, path: str) -> int:
        """`ukey` as a number. Raises: FileNotFoundError, OSError."""
        return int(self.ukey(path), 16)

    def created(self, path: str) -> datetime:
        """When the version that it is in was made, in UTC. Raises: FileNotFoundError, OSError."""
        text, address, repository = self._parse(path)
        with as_os_errors(text):
            if address.selector is None:
                found = names_info(repository, text, address).get("created")
                return found if isinstance(found, datetime) else time_of(0)
            return time_of(find_place(repository, text, address).version.created_at_ns)

    def modified(self, path: str) -> datetime:
        """When a file was changed before it was put, in UTC; of all others `created`.

        Raises: FileNotFoundError, OSError.
        """
        found = self.info(path).get("mtime")
        return found if isinstance(found, datetime) else self.created(path)

    # --- bytes -----------------------------------------------------------------------------

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """The verified bytes from `start` to `end`; both may count from the end.

        Raises: FileNotFoundError, IsADirectoryError, OSError.
        """
        opened = self._opened(path)
        with as_os_errors(opened.path):
            first, stop, _step = slice(start, end).indices(opened.content.size_bytes)
            data = bytearray(max(0, stop - first))
            RangeReader(opened.content).read_into(memoryview(data), first)
        return bytes(data)

    def cat_ranges(
        self,
        paths: list[str],
        starts: int | list[int | None] | None,
        ends: int | list[int | None] | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[bytes | Exception]:
        """Ranges of many files, several at a time; see fsspec. Raises: as `cat_file`."""
        if max_gap is not None:
            raise NotImplementedError("max_gap: blocks are kept, so that gaps cost nothing")
        if not isinstance(paths, list):
            raise TypeError("paths: expected a list")
        first = starts if isinstance(starts, list) else [starts] * len(paths)
        last = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(first) == len(last):
            raise ValueError("as many starts and ends as paths are needed")

        def read(wanted: tuple[str, int | None, int | None]) -> bytes | Exception:
            try:
                return self.cat_file(*wanted)
            except Exception as error:
                if on_error != "return":
                    raise
                return error

        workers = min(_WORKERS, len(paths)) or 1
        return list(in_parallel(read, zip(paths, first, last, strict=True), workers=workers))

    def cat(
        self, path: str | list[str], recursive: bool = False, on_error: str = "raise", **kwargs: Any
    ) -> Any:
        """All bytes of one file, or of many by their paths, several at a time; see fsspec."""
        paths = self.expand_path(path, recursive=recursive)
        if isinstance(path, str) and paths == [self._strip_protocol(path)]:
            return self.cat_file(paths[0], **kwargs)
        wanted = [each for each in paths if not recursive or self.isfile(each)]
        start, end = kwargs.get("start"), kwargs.get("end")
        how = "raise" if on_error == "raise" else "return"
        found = self.cat_ranges(wanted, [start] * len(wanted), [end] * len(wanted), on_error=how)
        return {
            each: data
            for each, data in zip(wanted, found, strict=True)
            if on_error != "omit" or not isinstance(data, Exception)
        }

    def get_file(self, rpath: str, lpath: Any, *args: Any, **kwargs: Any) -> None:
        """Copy one file; a link that leads to nothing is left out. Raises: as `cat_file`."""
        if self._kind(rpath) == "link":
            logger.warning("%s: left out: a link that leads to nothing", rpath)
            return
        super().get_file(rpath, lpath, *args, **kwargs)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> ArtfsFile:
        if mode != "rb":
            self._refuse(path)
        return ArtfsFile(self, self._opened(path))

    def _opened(self, path: str) -> OpenedPlace:
        text, address, repository = self._parse(path)
        with as_os_errors(text):
            if address.selector is None:
                names_info(repository, text, address)
                raise IsADirectoryError(21, "is a directory", text)
            place = find_place(repository, text, address)
            entry = place.entry
            if not isinstance(entry, FileEntry | ReferenceEntry):
                raise IsADirectoryError(21, "is a directory", text)
            content = repository.content(entry)
            info = entry_info(text, entry) | {"size": content.size_bytes}
            return OpenedPlace(content, text, place.exact_address, info)

    def _parse(self, path: str) -> tuple[str, Address, Repository]:
        text = str(self._strip_protocol(path))
        repository = self.repository
        with as_os_errors(text):
            project = chosen_project(self._project)
            address = parse_address(text, entity=repository.info.entity, project=project)
        return text, address, repository

    # --- what a version does not let happen -------------------------------------------------

    def _refuse(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        with as_os_errors(str(path)):
            raise ReadOnly(str(path), "a version never changes", hint=_HINT)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Refused, unless the directory is there. Raises: OSError."""
        if not (exist_ok and self.isdir(path)):
            self._refuse(path)

    mkdir = rmdir = touch = rm_file = _rm = rm = pipe_file = _refuse
    cp_file = mv = copy = pipe = _refuse

    def put(self, _: Any, rpath: Any, *__: Any, **___: Any) -> NoReturn:
        """Refused. Raises: OSError."""
        self._refuse(rpath)

    put_file = put


def _place_info(repository: Repository, place: Place) -> Info:
    """What is said of a place that was asked for by its name."""
    entry = place.entry
    if isinstance(entry, DirectoryEntry) and not place.trail:
        return version_info(place.text, place.version)
    info = entry_info(place.text, entry)
    if info["size"] is None and isinstance(entry, ReferenceEntry):
        # A listing asks nobody; who asks for one file wants to know.
        info["size"] = repository.content(entry).size_bytes
    if place.is_link:
        info["islink"] = True
    return info
