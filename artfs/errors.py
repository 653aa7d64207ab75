"""Every error that artfs raises on purpose, in one tree.

    ArtfsError
    ├─ NotFound             PathNotFound → EntryNotFound (also a KeyError), SourceNotFound (also
    │                       an OSError); BlobNotFound, StagingNotFound, StoreNotFound;
    │                       ArtifactNotFound, VersionNotFound, AliasNotFound, RunNotFound (also
    │                       a CommError and a ValueError, as in W&B)
    ├─ CommError            what W&B's scripts catch: BackendUnavailable, PermissionDenied,
    │                       Conflict, and those of NotFound that name a version or run
    ├─ Conflict             VersionExists, AliasMoved, StagingBusy, SourceChanged
    ├─ IntegrityError       stored bytes do not match their digest or size; Unreadable
    ├─ ReferenceChanged     a foreign object no longer matches its pin
    ├─ BackendUnavailable   DeadlineExceeded → WaitTimeoutError; Archived; SourceUnavailable
    │                       (also an OSError)
    ├─ PermissionDenied     SourceRefused (also an OSError)
    ├─ ReadOnly
    ├─ OutOfSpace
    ├─ InvalidManifest      (also a ValueError)
    ├─ UsageError           what W&B's scripts catch: InvalidName (also a ValueError),
    │                       InvalidArgument (also a ValueError) → InvalidValue (also an
    │                       AssertionError), WrongType (also a CommError)
    ├─ ConfigError          StoreFormatError → DamagedRecord
    ├─ Unsupported          a scheme, codec or feature that is not there
    ├─ MountError
    └─ ArtifactStatusError  (also an AttributeError) ArtifactNotLoggedError, ArtifactFinalizedError

An error says what it is about (`subject`), why it failed (`reason`) and, where there is
something to do about it, what (`hint`). No errno lives here: `artfs/system/errnos.py` maps these
classes to errno, and `exit_code` is what the command line returns.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar

from artfs.credentials import shown

UNDECODABLE = (ValueError, RecursionError)
"""What decoders of JSON, TOML and msgpack raise for what somebody else may have written.

A decode error of theirs and text that is not UTF-8 are a ValueError; nesting that is too deep is
not.
"""


class ArtfsError(Exception):
    """Base of all errors that artfs raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, subject: str, reason: str = "", *, hint: str = "") -> None:
        subject, reason, hint = shown(subject), shown(reason), shown(hint)
        super().__init__(subject, reason, hint)
        self.subject = subject
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return ": ".join(part for part in (self.subject, self.reason, self.hint) if part)


class NotFound(ArtfsError):
    """A name, version, path or blob does not exist."""

    exit_code = 3


class CommError(ArtfsError):
    """W&B's class for what a server does not have, refuses or does not answer.

    Scripts that were written for W&B catch it, as `wandb.errors.CommError` or
    `wandb.CommError`, or ValueError, which it is as well where a name leads to nothing.
    """


class ArtifactNotFound(NotFound, CommError, ValueError):
    """The store has no artifact of this name."""


class VersionNotFound(NotFound, CommError, ValueError):
    """The artifact has no such version."""


class AliasNotFound(NotFound, CommError, ValueError):
    """The artifact has no such alias."""


class PathNotFound(NotFound):
    """The version, or the local file system, has nothing at this path."""


class EntryNotFound(PathNotFound, KeyError):
    """The version has no file or reference at this path."""


class SourceError(ArtfsError, OSError):
    """A web server does not give what a new reference names.

    W&B raises an exception of requests there, all of which are OSErrors.
    """

    number: ClassVar[int] = errno.EIO

    def __init__(self, subject: str, reason: str = "", *, hint: str = "") -> None:
        super().__init__(subject, reason, hint=hint)
        self.errno = self.number


class SourceNotFound(PathNotFound, SourceError):
    """It has nothing at the address."""

    number = errno.ENOENT


class BlobNotFound(NotFound):
    """The store lost, or never had, these bytes."""


class RunNotFound(NotFound, CommError, ValueError):
    """The store knows no such run."""


class StagingNotFound(NotFound):
    """There is no such staging area."""


class StoreNotFound(NotFound):
    """There is no store where one was looked for."""


class Conflict(CommError):
    """Something else holds or changed what this operation needs."""

    exit_code = 4


class VersionExists(Conflict):
    """Another version or artifact already stands where this one should go."""


class AliasMoved(Conflict):
    """An alias does not point to the version that the caller expected."""


class StagingBusy(Conflict):
    """A staging area is owned by another process, or has files open for writing."""


class SourceChanged(Conflict):
    """A local file changed while it was being read into the store."""


class IntegrityError(ArtfsError):
    """Stored bytes do not match their digest or size."""

    exit_code = 5


class Unreadable(IntegrityError):
    """A disk does not give back bytes that were stored: they count as damaged."""


class ReferenceChanged(ArtfsError):
    """A foreign object no longer matches the pin of the entry that refers to it."""

    exit_code = 6


class BackendUnavailable(CommError):
    """A store, catalog or foreign server could not be reached, or answered nonsense."""

    exit_code = 7


class DeadlineExceeded(BackendUnavailable):
    """An operation did not end within its deadline."""


class WaitTimeoutError(DeadlineExceeded):
    """`Artifact.wait(timeout)` ran out of time."""


class Archived(BackendUnavailable):
    """A foreign object is there, but in an archive that must bring it back before it is read."""


class SourceUnavailable(BackendUnavailable, SourceError):
    """It could not be reached, or did not answer as it should."""


class PermissionDenied(CommError):
    """The operating system or a backend refused access."""

    exit_code = 8


class SourceRefused(PermissionDenied, SourceError):
    """It refuses."""

    number = errno.EACCES


class ReadOnly(ArtfsError):
    """A mutation of something that can only be read."""

    exit_code = 8


class OutOfSpace(ArtfsError):
    """A disk, quota or bucket is full."""

    exit_code = 9


class UsageError(ArtfsError):
    """W&B's class for what a script should do otherwise: what is wrong is in the script."""

    exit_code = 10


class InvalidName(UsageError, ValueError):
    """A name, alias or entry path breaks the naming rules."""

    exit_code = 10


class InvalidManifest(ArtfsError, ValueError):
    """A directory object or W&B manifest is malformed."""

    exit_code = 10


class InvalidArgument(UsageError, ValueError):
    """An argument has a value that makes no sense."""

    exit_code = 10


class WrongType(InvalidArgument, CommError):
    """An artifact is there, but is not of the type that was asked for."""


class InvalidValue(InvalidArgument, AssertionError):
    """A table, or another value for an artifact, is built or used against its rules.

    W&B asserts these rules.
    """


class ConfigError(ArtfsError):
    """The configuration, or the store that it names, cannot be used."""

    exit_code = 11


class StoreFormatError(ConfigError):
    """Not a store, a damaged one, or one written by a newer artfs."""


class DamagedRecord(StoreFormatError):
    """A row of the catalog that no artfs can have written. The rest of the store can be used."""

    def __init__(
        self,
        subject: str,
        reason: str = "",
        *,
        hint: str = "",
        version_id: Any = None,
        kind: str = "",
        names: tuple[Any, ...] = (),
    ) -> None:
        """`version_id` is the key of a version's row, whatever it is, where that is damaged.

        `kind` says what it is a row of: "project", "artifact", "version" (which aliases name too)
        or another; `names`, as rows have them, under which a listing of that kind would tell it.
        """
        super().__init__(subject, reason, hint=hint)
        self.version_id = version_id
        self.kind = kind
        self.names = names


class OtherStoreFormat(StoreFormatError):
    """A store of a newer artfs, or of one before the first release: as it should be, but for
    another one.
    """


class Unsupported(ArtfsError):
    """A scheme, codec or feature that is not available here."""

    exit_code = 12


class MountError(ArtfsError):
    """A mount could not be made, found or ended."""

    exit_code = 13


class ArtifactStatusError(ArtfsError, AttributeError):
    """An artifact is not in the state that an attribute or method needs.

    `name` and `obj` are those of AttributeError: the attribute and the artifact.
    """

    def __init__(
        self, subject: str, reason: str = "", *, hint: str = "", name: str = "", obj: object = None
    ) -> None:
        super().__init__(subject, reason, hint=hint)
        self.name = name
        self.obj = obj


class ArtifactNotLoggedError(ArtifactStatusError):
    """The artifact must be logged before this can be used."""


class ArtifactFinalizedError(ArtifactStatusError):
    """The artifact is finalized: nothing can be added to it any more."""


# What W&B calls them: `wandb.errors.Error` catches all, as `artfs.errors.Error` does.
Error = ArtfsError
AuthenticationError = PermissionDenied
UnsupportedError = Unsupported
