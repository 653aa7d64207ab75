"""What DVC tracks: `X.dvc` files and `dvc.lock`, directories in its cache, and both its layouts."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from artfs.decoding import analysed
from artfs.errors import (
    UNDECODABLE,
    IntegrityError,
    InvalidArgument,
    InvalidManifest,
    InvalidName,
    PathNotFound,
    Unsupported,
)
from artfs.foreign.base import (
    Algorithm,
    ForeignFile,
    ForeignTree,
    Kind,
    Proof,
    hex_digest,
    located,
    read_listing,
)
from artfs.foreign.proofs import new_hasher
from artfs.model import check_entry_name, split_entry_path
from artfs.system.paths import name_of

T = TypeVar("T")

SUFFIX = ".dvc"
LOCK = "dvc.lock"
_REPOSITORY = ".dvc"
_DIRECTORY = ".dir"
_MAX_YAML_BYTES = 256 * 1024**2
_MAX_DIRECTORY_BYTES = 1024**3
_MAX_CONFIG_BYTES = 1024**2
_MD5_BYTES = 16
_LAYOUTS = ("files/md5/", "")
"""Where the cache has its objects, since DVC 3.0 and before; a migrated one has them in both."""


class _Listed(msgspec.Struct):
    """A file of a directory."""

    relpath: str
    md5: str | None = None
    size: int | None = None
    isexec: bool = False


class _Output(msgspec.Struct):
    """What a tool made, or a person added."""

    path: str
    md5: str | None = None
    hash: str | None = None
    """None before DVC 3.0."""
    size: int | None = None
    isexec: bool = False
    files: list[_Listed] | None = None
    """Of what is kept in the versions of a bucket."""


class _DvcFile(msgspec.Struct):
    outs: list[_Output] = []
    wdir: str = "."


class _Stage(msgspec.Struct):
    outs: list[_Output] = []


class _Lock(msgspec.Struct):
    stages: dict[str, _Stage] = {}


def is_tracked(source: Path) -> bool:
    """Whether a path is of DVC, or tracked by it."""
    if source.name == LOCK or (source.name.endswith(SUFFIX) and source.name != SUFFIX):
        return source.is_file()
    return _dvc_file_of(source).is_file() or _locked(source) is not None


def read_dvc(source: Path, *, cache: Path | None) -> ForeignTree:
    """What a `.dvc` file or `dvc.lock` names, or what one of them says of a path.

    The content of a single directory comes into the root; of several outputs each goes under its
    path, and a file under its name. Bytes are looked for in the cache, and then in the workspace.
    Blocks: on the disk. Raises: InvalidManifest, PathNotFound, IntegrityError for a directory's
    object that is damaged, Unsupported, PermissionDenied.
    """
    listing, outputs, workspace = _outputs(source)
    objects = _Objects(_caches(listing, cache))
    files: list[ForeignFile] = []
    for output in outputs:
        place = os.path.join(workspace, output.path)  # noqa: PTH118 - it may be absolute
        try:
            root = split_entry_path(os.path.normpath(output.path)) if len(outputs) > 1 else []
            files += _files(output, "/".join(root), place, objects, str(listing))
        except InvalidName as error:
            raise InvalidManifest(str(listing), f"names {error}") from None
    return ForeignTree(
        kind=Kind.DVC,
        source=str(listing),
        revision=outputs[0].md5 or "" if len(outputs) == 1 else "",
        files=tuple(files),
        cure="`dvc fetch` brings it back, --cache names another cache",
    )


def _outputs(source: Path) -> tuple[Path, list[_Output], Path]:
    """The file that names what is meant, what it says of it, and what its paths are relative to."""
    if source.name != LOCK and not (source.name.endswith(SUFFIX) and source.is_file()):
        beside = _dvc_file_of(source)
        if not beside.is_file():
            found = _locked(source)
            if found is None:
                raise PathNotFound(str(source), "is not tracked by DVC")
            return found[0], [found[1]], found[0].parent
        source = beside
    if source.name == LOCK:
        outputs = _read_lock(source)
        workspace = source.parent
    else:
        described = _read_yaml(source, _DvcFile)
        outputs, workspace = described.outs, source.parent / described.wdir
    if not outputs:
        raise InvalidManifest(str(source), "names nothing that DVC tracks")
    return source, outputs, workspace.absolute()


def _dvc_file_of(source: Path) -> Path:
    return source.parent / f"{source.name}{SUFFIX}"


def _locked(source: Path) -> tuple[Path, _Output] | None:
    """The lock file that has a path among its outputs, and what it says of it."""
    absolute = Path(os.path.normpath(source.absolute()))
    for directory in absolute.parents:
        lock = directory / LOCK
        if lock.is_file():
            wanted = str(absolute.relative_to(directory))
            for output in _read_lock(lock):
                if os.path.normpath(output.path) == wanted:
                    return lock, output
        if (directory / _REPOSITORY).is_dir():
            break
    return None


def _read_lock(path: Path) -> list[_Output]:
    return [each for stage in _read_yaml(path, _Lock).stages.values() for each in stage.outs]


def _read_yaml(path: Path, kind: type[T]) -> T:
    """What a file of DVC says.

    Every scalar is read as text, and becomes what it should be only then: to YAML 1.1 a file that
    is called `on` or `1e5` would be something else.
    """
    try:
        import yaml  # noqa: PLC0415 - of an extra
    except ImportError:
        raise Unsupported(
            str(path), "reading what DVC tracks needs PyYAML", hint="pip install 'artfs[dvc]'"
        ) from None
    data = read_listing(path, limit_bytes=_MAX_YAML_BYTES)
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        value: Any = yaml.load(data, Loader=loader)  # noqa: S506 - it makes texts, lists and dicts
        return msgspec.convert(value or {}, type=analysed(kind), strict=False)
    except (*UNDECODABLE, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidManifest(str(path), f"is no file of DVC's ({reason})") from None


def _files(
    output: _Output, root: str, place: str, objects: _Objects, subject: str
) -> Iterator[ForeignFile]:
    """The files of one output; a file whose `root` is empty goes under its own name."""
    if output.hash not in {None, "md5"}:
        raise Unsupported(subject, f"names {output.path!r} by {output.hash}, not by md5")
    algorithm = Algorithm.MD5 if output.hash else Algorithm.MD5_OF_TEXT
    listed = output.files
    if output.md5 is None and listed is None:
        raise Unsupported(
            subject,
            f"says no md5 of {output.path!r}",
            hint="what DVC does not keep in its cache can be put: see `artfs put --help`",
        )
    if listed is None and output.md5 is not None and output.md5.endswith(_DIRECTORY):
        listed = objects.directory(output.md5, output.path, subject)
    if listed is None:
        path = root or check_entry_name(name_of(Path(os.path.normpath(output.path)).name))
        itself = _Listed(relpath=path, md5=output.md5, size=output.size, isexec=output.isexec)
        yield objects.file(path, itself, place, algorithm, subject)
        return
    for each in listed:
        split_entry_path(each.relpath)
        path = f"{root}/{each.relpath}" if root else each.relpath
        yield objects.file(path, each, f"{place}/{each.relpath}", algorithm, subject)


class _Objects:
    """What is in the caches, found by its md5."""

    def __init__(self, caches: list[str]) -> None:
        self._roots = [f"{cache}/{layout}" for cache in caches for layout in _LAYOUTS]

    def file(
        self, path: str, said: _Listed, place: str, algorithm: Algorithm, subject: str
    ) -> ForeignFile:
        """Where the bytes of a file are, of which `place` is in the workspace."""
        if said.md5 is None:
            raise Unsupported(subject, f"says no md5 of {said.relpath!r}")
        digest = hex_digest(said.md5, length=_MD5_BYTES, subject=subject)
        return located(
            path,
            [*self._places(digest.hex()), place],
            size_bytes=said.size,
            proof=Proof(algorithm, digest),
            executable=said.isexec,
        )

    def directory(self, name: str, path: str, subject: str) -> list[_Listed]:
        """What a directory's object lists, once its digest was checked."""
        digest = hex_digest(name.removesuffix(_DIRECTORY), length=_MD5_BYTES, subject=subject)
        places = [f"{each}{_DIRECTORY}" for each in self._places(digest.hex())]
        found = located(path, places)
        if found.is_missing:
            raise PathNotFound(
                found.place or name,
                f"the listing of {path!r} is not there",
                hint="`dvc fetch` brings it back, --cache names another cache",
            )
        data = read_listing(Path(found.place), limit_bytes=_MAX_DIRECTORY_BYTES)
        hasher = new_hasher(Algorithm.MD5, size_bytes=len(data))
        hasher.update(data)
        if hasher.digest() != digest:
            raise IntegrityError(found.place, f"is damaged: its md5 is {hasher.digest().hex()}")
        try:
            return msgspec.json.decode(data, type=analysed(list[_Listed]))
        except UNDECODABLE as error:
            raise InvalidManifest(found.place, f"is no listing of a directory ({error})") from None

    def _places(self, digest: str) -> list[str]:
        return [f"{root}{digest[:2]}/{digest[2:]}" for root in self._roots]


def _caches(listing: Path, cache: Path | None) -> list[str]:
    """Where the objects may be, from what a person says or DVC's configuration does."""
    if cache is not None:
        return [str(cache.absolute())]
    repository = next(
        (each for each in listing.absolute().parents if (each / _REPOSITORY).is_dir()), None
    )
    if repository is None:
        raise InvalidArgument(
            str(listing), "is in no DVC repository", hint="name DVC's cache with --cache"
        )
    own = repository / _REPOSITORY
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - as DVC does
    for config in (own / "config.local", own / "config", Path(base, "dvc", "config")):
        place = _configured(config)
        if place:
            # Relative to where it is written.
            return [str(config.parent / Path(place).expanduser())]
    return [str(own / "cache")]


def _configured(config: Path) -> str:
    """The cache that a configuration file names; empty for none. Raises: InvalidManifest."""
    if not config.is_file():
        return ""
    text = read_listing(config, limit_bytes=_MAX_CONFIG_BYTES)
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string(text.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidManifest(str(config), f"cannot be read ({str(error)[:200]})") from None
    return (parser.get("cache", "dir", fallback="") or "").strip("'\"")
