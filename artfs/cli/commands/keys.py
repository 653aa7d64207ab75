"""`artfs keys`: who may use a store through `artfs serve`."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import click

from artfs.cli.forgiving import ForgivingGroup
from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.output import format_age, iso_time, print_json, print_line, print_table
from artfs.errors import InvalidArgument

if TYPE_CHECKING:
    from artfs.catalog.serving_records import KeyRecord

_LIFE = re.compile(r"(\d{1,6})([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


@click.group(cls=ForgivingGroup, short_help="Give and take API keys for `artfs serve`.")
def command() -> None:
    """Say who may use a store through `artfs serve`.

    A key stands for whoever has it. It is shown once, when it is made; the store keeps a hash.

    \b
    Example:
      artfs keys add ada --project vision --expires 90d
    """


@command.command("add")
@click.argument("name")
@click.option("--read-only", is_flag=True, help="It lets nobody change anything.")
@click.option(
    "-p", "--project", "projects", multiple=True, metavar="PROJECT", help="For this one alone."
)
@click.option("--expires", metavar="TIME", help="Let it count so long: 90d, 12h.")
@store_option
@json_option
def add(
    *,
    name: str,
    read_only: bool,
    projects: tuple[str, ...],
    expires: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Make a key called NAME, and show it.

    \b
    Examples:
      artfs keys add ada
      artfs keys add ci --project vision --read-only --expires 90d
    """
    from artfs.server.auth import new_key  # noqa: PLC0415 - takes long to import
    from artfs.server.tokens import link_secret  # noqa: PLC0415 - as above

    with open_repository(store, create=True) as repository:
        expires_at_ns = None
        if expires is not None:
            expires_at_ns = repository.catalog.now_ns() + _life_s(expires) * 10**9
        text, key = new_key(
            name, read_only=read_only, projects=projects, expires_at_ns=expires_at_ns
        )
        repository.catalog.serving.add_key(key)
        # So that a server that may only read the store finds one.
        link_secret(repository.catalog.serving)
    if as_json:
        print_json({**_value(key.record), "key": text})
    else:
        print_line(text)


@command.command("ls")
@store_option
@json_option
def ls(*, store: str | None, as_json: bool) -> None:
    """List the keys, without what is secret of them.

    \b
    Example:
      artfs keys ls
    """
    with open_repository(store) as repository:
        found = repository.catalog.serving.keys()
    if as_json:
        print_json([_value(key) for key in found])
        return
    rows = [
        [
            key.name,
            f"{key.id}…",
            "read" if key.read_only else "read, write",
            ", ".join(key.projects) or "all",
            format_age(key.created_at_ns),
            "never" if key.expires_at_ns is None else iso_time(key.expires_at_ns),
        ]
        for key in found
    ]
    print_table(["NAME", "KEY", "MAY", "PROJECTS", "MADE", "EXPIRES"], rows)


@command.command("revoke")
@click.argument("name")
@store_option
@json_option
def revoke(*, name: str, store: str | None, as_json: bool) -> None:
    """Let the key called NAME count no more, from now on.

    \b
    Example:
      artfs keys revoke ada
    """
    with open_repository(store) as repository:
        record = repository.catalog.serving.revoke_key(name)
    if as_json:
        print_json(_value(record))
    else:
        print_line(f"{record.name} ({record.id}…) is revoked")


def _life_s(text: str) -> int:
    match = _LIFE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise InvalidArgument(f"--expires {text}", "is no time", hint="write it as 90d")
    return int(match[1]) * _SECONDS[match[2]]


def _value(key: KeyRecord) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.id,
        "read_only": key.read_only,
        "projects": list(key.projects),
        "created_at": iso_time(key.created_at_ns or time.time_ns()),
        "expires_at": None if key.expires_at_ns is None else iso_time(key.expires_at_ns),
        "revoked": key.revoked_at_ns is not None,
    }
