"""What somebody meant whose command, or order of arguments, is not quite right."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from artfs.errors import InvalidArgument

_SIMILAR = 0.6
_MEANT = {
    "cp": "copy",
    "delete": "rm",
    "del": "rm",
    "dir": "ls",
    "fetch": "warm",
    "fsck": "verify",
    "images": "ls",
    "info": "status",
    "list": "ls",
    "lineage": "history",
    "log": "history",
    "login": "keys",
    "logs": "history",
    "mirror": "copy",
    "prune": "gc",
    "ps": "status",
    "pull": "get",
    "push": "put",
    "remove": "rm",
    "server": "serve",
    "show": "ls",
    "sync": "copy",
    "tag": "alias",
    "unmount": "umount",
    "upload": "put",
    "add": "put",
}
"""What other tools call what we have under another name."""
_PATHS = ("/", "./", "../", "~")


class ForgivingGroup(click.Group):
    """Names the command that somebody meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click.Group. Raises: click.UsageError."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            meant = meant_command(args[0], self.list_commands(ctx)) if args else None
            if meant is None or args[0].startswith("-"):
                raise
            path = ctx.command_path.removeprefix("artfs").strip()
            found = f"{path} {meant}".strip()
            text = f"no such command {args[0]!r}: did you mean `artfs {found}`?"
            raise click.UsageError(text, error.ctx) from None


def meant_command(word: str, names: Iterable[str]) -> str | None:
    """The command that somebody may have meant."""
    known = list(names)
    meant = _MEANT.get(word.lower())
    if meant in known:
        return meant
    found = get_close_matches(word.lower(), known, n=1, cutoff=_SIMILAR)
    return found[0] if found else None


def looks_like_path(text: str) -> bool:
    """Whether it is written as paths of the local file system are, and no name can be."""
    return text in {".", ".."} or text.startswith(_PATHS)


def is_only_a_name(text: str) -> bool:
    """Whether it names what is in a store, and nothing of the local file system."""
    if looks_like_path(text) or not {"/", ":"} & set(text):
        return False
    # Where there is the directory above, it is a directory that somebody forgot to make.
    return ":" in text or not _is_directory(os.path.dirname(text))  # noqa: PTH120 - text, as written


def refuse_swapped(command: str, name: str, place: str, *, options: Sequence[str] = ()) -> None:
    """Raises: InvalidArgument where a name stands where a place should, and the other way round."""
    if looks_like_path(place) or not name:
        return
    is_name = "/" in place or ":" in place
    if looks_like_path(name) or (is_name and _is_directory(name) and not _is_directory(place)):
        raise swapped(command, [*options, place, name])


def swapped(command: str, arguments: Sequence[str]) -> InvalidArgument:
    """Says how the arguments are meant to be."""
    words = shlex.join(arguments)
    return InvalidArgument(
        command, "its arguments are the other way round", hint=f"write `artfs {command} {words}`"
    )


def _is_directory(text: str) -> bool:
    try:
        return Path(os.path.expanduser(text)).is_dir()  # noqa: PTH111 - no error for ~nobody
    except (OSError, ValueError):
        return False
