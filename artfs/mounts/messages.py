"""What a mount's process and its clients say to each other, as JSON lines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import artfs.errors
from artfs.decoding import analysed
from artfs.errors import ArtfsError, InvalidArgument, MountError
from artfs.mounts.options import MountOptions
from artfs.system.progress import Progress
from artfs.system.user_places import runtime_directory

Message = TypeVar("Message", bound=msgspec.Struct)


class Counters(msgspec.Struct, kw_only=True):
    """Totals since the mount started, and what is held now; bytes are of content."""

    lookups: int = 0
    listings: int = 0
    """Requests for a part of a directory."""
    opens: int = 0
    open_files: int = 0
    """Open now."""
    reads: int = 0
    bytes_served: int = 0
    """Sent to the kernel, which keeps them: a second read may not be seen here."""
    blocks_loaded: int = 0
    bytes_loaded: int = 0
    """Read from the store or network, and verified."""
    bytes_buffered: int = 0
    """Held in memory now."""
    errors: int = 0
    """Answers that were an error, but for names that do not exist."""


class StageOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a staging mount is for. Its fields are those of AreaMeta."""

    resume: str | None = None
    """The id of an area that exists; nothing else counts then."""
    type: str | None = None
    """None: that of the artifact, or `dataset` for a new one."""
    base: str | None = None
    """An alias or `vN` to begin with."""
    aliases: tuple[str, ...] = ()
    description: str | None = None
    metadata: dict[str, Any] = {}
    run_id: str | None = None
    expect: str | None = None
    """The version that `latest` must still be when committing; `none`: there is none yet."""


class MountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to mount where."""

    store: str
    """The directory or URL of the store."""
    target: str | None
    """`project`, `project/name` or `project/name:selector`; None: the whole store."""
    mountpoint: Path
    options: MountOptions = MountOptions()
    stage: StageOrder | None = None
    """Set: a writable mount of a staging area."""
    users: Path | None = None
    """A file that is locked, shared, by processes that use the mount: it is not idle meanwhile."""
    source: str | None = None
    """What the kernel is told that is mounted, for everybody to see; None: that it is of artfs."""


class MountState(StrEnum):
    """Whether a mount can be used."""

    MOUNTED = "mounted"
    UNRESPONSIVE = "unresponsive"
    """Its process lives and does not answer."""
    DEAD = "dead"
    """Its process is gone; the next mount or umount here cleans up."""
    DETACHED = "detached"
    """Its process lives, and it is not mounted here: it is ending, or mounted elsewhere only."""
    FOREIGN = "foreign"
    """Another user's, who alone can ask it."""


class Failure(msgspec.Struct, frozen=True):
    """An ArtfsError on its way to another process."""

    kind: str
    """The name of its class."""
    subject: str
    reason: str
    hint: str

    @classmethod
    def of(cls, error: ArtfsError) -> Failure:
        """What to tell of an error."""
        return cls(type(error).__name__, error.subject, error.reason, error.hint)

    def as_error(self) -> ArtfsError:
        """The error that this tells of; MountError for a kind that is none of ours."""
        kind = getattr(artfs.errors, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, ArtfsError)):
            kind = MountError
        return kind(self.subject, self.reason, hint=self.hint)


class CommitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A commit of a staging mount that runs, or the last one."""

    number: int
    """Counts the commits of this mount."""
    running: bool
    progress: Progress = Progress()
    version: str | None = None
    """`project/name:vN` once it is done; None: nothing was there to commit."""
    created: bool = False
    failure: Failure | None = None


class StagingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a staging mount shows besides."""

    id: str
    path: Path
    """The area's directory."""
    type: str
    base: str | None
    """`vN`."""
    created_at_s: float
    unfinished: tuple[str, ...] = ()
    """Files that were open for writing when an earlier mount ended."""
    commit: CommitStatus | None = None


class MountStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A mount, as seen from outside."""

    mountpoint: Path
    state: MountState
    pid: int | None = None
    owner: int | None = None
    """The uid of who mounted it."""
    kind: str = "mount"
    store: str | None = None
    target: str | None = None
    """As it was asked for; None: the whole store, or not known because the mount is dead."""
    version: str | None = None
    """`project/name:vN` where the mount shows one version."""
    started_at_s: float | None = None
    """Seconds since the Unix epoch."""
    options: MountOptions | None = None
    counters: Counters | None = None
    staging: StagingStatus | None = None
    held_by: tuple[str, ...] = ()
    """Of a detached one: processes in whose mount namespaces it is mounted."""
    log: Path | None = None


class Command(msgspec.Struct, frozen=True):
    """A client's line: `status` or `stop`; of a staging mount also `commit`, `commit-status`, which
    asks for one commit by its number, and `abort`.
    """

    command: str
    wait_writers_s: float = 0.0
    """How long a commit waits for files that are open for writing."""
    expect: str | None = None
    """As StageOrder.expect, for this and later commits."""
    take_unfinished: bool = False
    """Take files for finished that were open for writing when an earlier mount ended."""
    number: int | None = None
    """Of the commit that is asked for."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one command; any number that say `working` may come before it."""

    status: MountStatus | None = None
    error: str | None = None
    working: bool = False
    """The process lives and has the command; it does something else yet."""


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new process's one line to the one that started it."""

    status: MountStatus | None = None
    failure: Failure | None = None


def encode_line(message: msgspec.Struct) -> bytes:
    """A message as one line of JSON. Raises: InvalidArgument for text that is not Unicode."""
    try:
        return msgspec.json.encode(message, enc_hook=_plain) + b"\n"
    except UnicodeEncodeError as error:
        raise InvalidArgument(repr(error.object)[:80], "not valid Unicode text") from error


def decode_line(line: bytes | bytearray, kind: type[Message]) -> Message:
    """The message on a line. Raises: UNDECODABLE."""
    return msgspec.json.decode(line, type=analysed(kind), dec_hook=_path)


def socket_path(mountpoint: Path) -> Path:
    """The control socket of a mount; the mountpoint is absolute and without symlinks.

    Raises: PermissionDenied where the runtime directory may be somebody else's.
    """
    return runtime_directory() / f"{mountpoint_key(mountpoint)}.sock"


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address of the socket at `path`, however long that is.

    The kernel takes no more than 107 bytes, and runtime directories may be deep. Raises: OSError.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def log_name(mountpoint: Path) -> str:
    """The name of a mount's log file."""
    readable = "".join(c if c.isalnum() else "-" for c in mountpoint.name)[:40]
    return f"mount-{readable}-{mountpoint_key(mountpoint)[:8]}.log"


def mountpoint_key(mountpoint: Path) -> str:
    """A short name for what belongs to a mountpoint."""
    return hashlib.sha256(bytes(mountpoint)).hexdigest()[:24]


def _plain(value: Any) -> str:
    assert isinstance(value, Path)
    return str(value)


def _path(kind: type, text: Any) -> Path:
    assert issubclass(kind, Path)
    return kind(text)
