"""`artfs cache`: look after the block cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from artfs.cli.forgiving import ForgivingGroup
from artfs.cli.frame import json_option
from artfs.cli.output import format_size, plural, print_json, print_line
from artfs.cli.progress import ProgressLine
from artfs.errors import IntegrityError
from artfs.system.progress import ProgressMeter

if TYPE_CHECKING:
    from artfs.blobs.cache import BlockCache

T = TypeVar("T")


@click.group(cls=ForgivingGroup, short_help="Show, empty or check the block cache.")
def command() -> None:
    """Look after the block cache: what was fetched of references and of shared stores.

    It belongs to this user and is shared by all mounts and programs. $ARTFS_CACHE_SIZE, or
    `cache_size` in the configuration file, limits it.

    \b
    Example:
      artfs cache info
    """


@command.command("info", short_help="Show what is in the cache.")
@json_option
def info(*, as_json: bool) -> None:
    """Show where the cache is, how full it is, and what is pinned in it.

    \b
    Example:
      artfs cache info
    """
    from artfs.blobs.cache_upkeep import cache_info  # noqa: PLC0415 - `--help` does not need it

    found = _translating(cache_info)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    used, limit = format_size(found.used_bytes), format_size(found.limit_bytes)
    print_line(f"{found.root}")
    print_line(f"used     {used} of {limit}; {format_size(found.reserve_bytes)} stay free")
    print_line(f"blocks   {found.blocks:,} of {plural(found.contents, 'file')}")
    print_line(f"re-used  {format_size(found.kept_bytes)}")
    print_line(f"pinned   {format_size(found.pinned_bytes)}")
    for label in found.pins:
        print_line(f"  {label}")


@command.command("clean", short_help="Empty the cache.")
@click.option("--pins", is_flag=True, help="Remove pinned content too, and the pins.")
@json_option
def clean(*, pins: bool, as_json: bool) -> None:
    """Remove everything that is not pinned. What is mounted goes on, and fetches again.

    \b
    Examples:
      artfs cache clean
      artfs cache clean --pins
    """
    from artfs.blobs.cache_upkeep import clean_cache  # noqa: PLC0415 - `--help` does not need it

    done = _translating(lambda cache: clean_cache(cache, pins=pins))
    if as_json:
        print_json(msgspec.to_builtins(done))
    else:
        print_line(f"{plural(done.blocks, 'block')} removed, {format_size(done.freed_bytes)} freed")


@command.command("verify", short_help="Check every block of the cache.")
@json_option
def verify(*, as_json: bool) -> int:
    """Read every block and drop damaged ones, which are then fetched again when needed.

    Ends with exit code 5 where there were any.

    \b
    Example:
      artfs cache verify
    """
    from artfs.blobs.cache_upkeep import check_cache  # noqa: PLC0415 - `--help` does not need it

    with ProgressLine("checking") as progress:
        done = _translating(lambda cache: check_cache(cache, ProgressMeter(progress.show)))
    if as_json:
        print_json(msgspec.to_builtins(done))
    else:
        size = format_size(done.checked_bytes)
        verdict = f"{plural(done.dropped, 'block')} dropped" if done.dropped else "all right"
        print_line(f"{plural(done.blocks, 'block')}, {size}: {verdict}")
    return IntegrityError.exit_code if done.dropped else 0


def _translating(work: Callable[[BlockCache], T]) -> T:
    from artfs.content.remote import open_cache  # noqa: PLC0415 - as above
    from artfs.settings import CACHE_VARIABLE  # noqa: PLC0415 - as above
    from artfs.system.oserrors import translate_os_errors  # noqa: PLC0415 - as above

    cache = open_cache()
    with translate_os_errors(cache.layout.root, variable=CACHE_VARIABLE):
        return work(cache)
