"""`artfs.path` and `artfs.mount`: versions as directories, for scripts."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import msgspec

from artfs.catalog.records import VersionRecord
from artfs.errors import ArtfsError, InvalidArgument, MountError, PathNotFound, PermissionDenied
from artfs.manifest.entries import DirectoryEntry, SymlinkEntry
from artfs.mounts.client import start, stop
from artfs.mounts.options import parse_options
from artfs.mounts.requesting import mount_request
from artfs.mounts.shared import shared_mount
from artfs.repository.addresses import parse_address, plain
from artfs.repository.facade import LATEST, Repository
from artfs.sdk.download import download_one, download_tree
from artfs.sdk.session import repository_to_read
from artfs.settings import URL_SCHEME, cache_path, chosen_project
from artfs.system.oserrors import translate_os_errors
from artfs.system.user_places import runtime_directory
from artfs.wandbstore.address import is_server_url, split_target

_GRACE_S = 1.0
_POLL_S = 0.02

logger = logging.getLogger(__name__)


def path(target: str, *, store: str | None = None) -> Path:
    """A version, or what is in it, as a path that every program can open. It is read-only.

    It is in a mount of the store, made when it is first wanted, that all processes of this user
    share. The mount ends a quarter of an hour after the last of them, or at `artfs umount`. Where
    FUSE cannot be used, the content is downloaded, which a warning says.

    Args:
        target: `project/name[:alias|:vN][/path]`, with or without `artfs://`; without a version
            it is `latest`. Which version it is is decided now: the path stays with it.
        store: A directory or URL. Default: that of the current run, else the default store.

    Raises:
        ArtifactNotFound, VersionNotFound, AliasNotFound, PathNotFound: if there is none.
        ValueError: for what is no target.

    Example:
        >>> for image in artfs.path("demo/flowers:latest/train").glob("*.jpg"): ...
    """
    if is_server_url(target):
        if store is not None:
            raise InvalidArgument(target, "names its store", hint="leave `store` out")
        store, target = split_target(target)[0], split_target(target)[1] or ""
    repository = repository_to_read(store)
    text = plain(target.removeprefix(f"{URL_SCHEME}://"))
    address = parse_address(text, entity=repository.info.entity, project=chosen_project())
    if address.name is None:
        raise InvalidArgument(target, "names no artifact", hint="write PROJECT/NAME:VERSION[/PATH]")
    if address.selector is None:
        address = msgspec.structs.replace(address, selector=LATEST)
    record = repository.resolve(address.version)
    known = not address.path or _is_there(repository, record, address.path)
    try:
        root = shared_mount(repository.address) / record.project / record.name / record.version
        _wait_for(root, timeout_s=repository.info.alias_ttl_s + _GRACE_S)
    except (MountError, PermissionDenied) as error:
        root = _downloaded(repository, record, address.path if known else "", error)
    return root / address.path if address.path else root


def _is_there(repository: Repository, record: VersionRecord, inside: str) -> bool:
    """Whether something is at a path; False where it goes through a link, which says more later.

    Raises: PathNotFound, InvalidName.
    """
    try:
        repository.find(record.tree, inside)
    except PathNotFound:
        above = inside
        while above := above.rpartition("/")[0]:
            with suppress(PathNotFound):
                if isinstance(repository.find(record.tree, above), SymlinkEntry):
                    return False
                break
        raise
    return True


def _wait_for(root: Path, *, timeout_s: float) -> None:
    """Wait for a version to be seen: a mount may know its names from a moment ago.

    Raises: MountError.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        while not root.exists():
            if time.monotonic() > deadline_s:
                raise MountError(str(root), "is not seen in the mount")
            time.sleep(_POLL_S)
    except OSError as error:
        raise MountError(str(root), error.strerror or str(error)) from None


def _downloaded(
    repository: Repository, record: VersionRecord, inside: str, why: ArtfsError
) -> Path:
    """The directory of a version in this user's cache, with what is `inside` in it."""
    key = sha256(repository.address.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    place = cache_path() / "versions" / key / record.project / record.name / record.version
    logger.warning(
        "%s is downloaded to %s, because it cannot be mounted: %s", record.path, place, why
    )
    with translate_os_errors(place):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if inside and not isinstance(repository.find(record.tree, inside), DirectoryEntry):
        download_one(repository, record.tree, place, inside)
    else:
        download_tree(repository, record.tree, place, path_prefix=f"{inside}/" if inside else "")
    return place


class Mount:
    """A mount that a script has made: what `artfs.mount` returns."""

    def __init__(self, mountpoint: Path, *, is_temporary: bool) -> None:
        self.path = mountpoint
        """Where it is."""
        self._is_temporary = is_temporary
        self._is_over = False

    def __repr__(self) -> str:
        return f"<Mount at {self.path}>"

    def __fspath__(self) -> str:
        return str(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            self.unmount()
        except MountError as busy:
            if error is None:
                raise
            # What the block was left with says more.
            logger.warning("%s", busy)

    def unmount(self, *, force: bool = False) -> None:
        """End it; twice is once.

        With `force` also while something in it is open, which then cannot be read any more.
        Raises: MountError where it is busy: it says who uses it.
        """
        if self._is_over:
            return
        stop(self.path, force=force)
        self._is_over = True
        if self._is_temporary:
            with suppress(OSError):
                self.path.rmdir()


def mount(
    target: str | None = None,
    mountpoint: str | Path | None = None,
    *,
    store: str | None = None,
    options: str = "",
) -> Mount:
    """Mount a project, artifact or version, read-only; without a target all of the store.

    Used as a context it ends with the block, and gives the path; else it lasts until
    `unmount()`, or `artfs umount`.

    Args:
        target: `project[/name[:version]]`, as `artfs mount` takes it.
        mountpoint: An empty directory. Default: a new one, which goes when the mount ends.
        store: A directory or URL. Default: the default store.
        options: Those of `artfs mount -o`, such as `"aliases=symlink,freeze"`.

    Raises:
        MountError: if it cannot be mounted, with the cure.
        ArtifactNotFound, VersionNotFound, AliasNotFound, StoreNotFound: if there is none.

    Example:
        >>> with artfs.mount("demo/flowers:latest") as flowers:
        ...     labels = (flowers / "labels.csv").read_text()
    """
    is_temporary = mountpoint is None
    if mountpoint is None:
        place = Path(tempfile.mkdtemp(prefix="mnt-", dir=runtime_directory()))
    else:
        place = Path(mountpoint)
    try:
        request = mount_request(target, place, store=store, options=parse_options([options]))
        return Mount(start(request).mountpoint, is_temporary=is_temporary)
    except BaseException:
        if is_temporary:
            with suppress(OSError):
                place.rmdir()
        raise
