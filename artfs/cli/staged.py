"""What the commands of staging share: progress, and what came of a commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from artfs.cli.output import print_json, print_line
from artfs.cli.progress import ByteProgress
from artfs.mounts.messages import CommitStatus


def watcher(progress: ByteProgress) -> Callable[[CommitStatus], None] | None:
    """What shows the progress of a commit that another process makes, if somebody watches."""
    if not progress.is_watched:
        return None
    return lambda status: progress.show(status.bytes_done, status.bytes_total)


def outcome_text(artifact: str, version: str | None, *, created: bool) -> str:
    """What came of a commit, for a person."""
    if version is None:
        return f"{artifact}: nothing was staged, so no new version"
    return version if created else f"{version}: nothing changed, so no new version"


def print_outcome(
    artifact: str,
    version: str | None,
    *,
    created: bool,
    as_json: bool,
    besides: dict[str, Any] | None = None,
) -> None:
    """Print what came of a commit; `besides` goes into the JSON document."""
    if as_json:
        value = {"artifact": artifact, "version": version, "created": created}
        print_json(value | (besides or {}))
    else:
        print_line(outcome_text(artifact, version, created=created))
