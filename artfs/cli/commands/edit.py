"""`artfs edit`: change what is said of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from artfs.catalog.records import VersionUpdate
from artfs.cli.completing import complete_version
from artfs.cli.frame import (
    TimeToLive,
    default_project,
    json_object,
    json_option,
    open_repository,
    store_option,
    tag_option,
    version_value,
)
from artfs.cli.output import print_json, print_line
from artfs.errors import InvalidArgument

if TYPE_CHECKING:
    from artfs.catalog.records import VersionRecord
    from artfs.model import Metadata

_NEVER = -1.0


class _TimeOrNone(TimeToLive):
    """A time to live, or none."""

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The duration in seconds."""
        is_none = value in {"none", _NEVER}
        return _NEVER if is_none else super().convert(value, param, ctx)


@click.command(short_help="Change the description, metadata, tags or time to live of a version.")
@click.argument(
    "targets",
    nargs=-1,
    required=True,
    metavar="PROJECT/NAME[:VERSION]...",
    shell_complete=complete_version,
)
@click.option("--description", metavar="TEXT", help="A text for people; empty: none.")
@click.option(
    "--metadata",
    metavar="JSON|@FILE",
    help="Put these keys over those that are there.",
)
@click.option(
    "--unset", "unset", multiple=True, metavar="KEY", help="Take a key of the metadata away."
)
@tag_option
@click.option("--untag", "untags", multiple=True, metavar="TAG", help="Take a tag away.")
@click.option(
    "--ttl",
    "ttl_s",
    type=_TimeOrNone(),
    metavar="TIME",
    help="How long it is kept, from when it was made: 12h, 30d; none: for ever.",
)
@store_option
@json_option
def command(
    *,
    targets: tuple[str, ...],
    description: str | None,
    metadata: str | None,
    unset: tuple[str, ...],
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    ttl_s: float | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Change what is said of each version. Its content never changes; what is not named stays.

    Aliases are moved by `artfs alias`.

    \b
    Examples:
      artfs edit demo/digits:v3 --description 'with the corrected labels' --tag checked
      artfs edit demo/model --metadata '{"epochs": 3}' --tag checked
      artfs edit demo/model:v0 --ttl 30d
    """
    given = json_object(metadata, option="--metadata")
    if description is None and metadata is None and not (unset or tags or untags) and ttl_s is None:
        raise InvalidArgument("edit", "says nothing to change", hint="see `artfs edit --help`")
    with open_repository(store) as repository:
        found = [repository.resolve(target, project=default_project()) for target in targets]
        changes = [
            _changes(
                version,
                description=description,
                metadata=given,
                unset=unset,
                tags=tags,
                untags=untags,
                ttl_s=ttl_s,
            )
            for version in found
        ]
        edited = [
            repository.catalog.update_version(version.id, VersionUpdate(**changed))
            if changed
            else version
            for version, changed in zip(found, changes, strict=True)
        ]
    if as_json:
        print_json(
            {
                "versions": [
                    version_value(version) | {"changed": list(changed)}
                    for version, changed in zip(edited, changes, strict=True)
                ]
            }
        )
        return
    for version, changed in zip(edited, changes, strict=True):
        words = ["time to live" if word == "ttl_s" else word for word in changed]
        print_line(
            f"{version.path}: {' and '.join(words) + ' set' if words else 'nothing changed'}"
        )


def _changes(
    version: VersionRecord,
    *,
    description: str | None,
    metadata: Metadata,
    unset: tuple[str, ...],
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    ttl_s: float | None,
) -> dict[str, Any]:
    """What differs from what is said now, in the words of VersionUpdate.

    Raises: InvalidArgument for a key or tag that is not there.
    """
    from artfs.sdk.metadata import normalize_metadata  # noqa: PLC0415 - `--help` does not need it

    for key in unset:
        if key not in version.metadata:
            raise InvalidArgument(f"--unset {key}", f"{version.path} has no such metadata")
    for tag in untags:
        if tag not in version.tags:
            raise InvalidArgument(f"--untag {tag}", f"{version.path} has no such tag")
    kept = {key: value for key, value in version.metadata.items() if key not in unset}
    wanted: dict[str, Any] = {
        "metadata": normalize_metadata(kept | metadata),
        "tags": tuple(sorted({*version.tags, *tags} - set(untags))),
    }
    if description is not None:
        wanted["description"] = description or None
    if ttl_s is not None:
        wanted["ttl_s"] = None if ttl_s == _NEVER else int(ttl_s)
    before = {
        "metadata": version.metadata,
        "tags": tuple(sorted(version.tags)),
        "description": version.description,
        "ttl_s": version.ttl_s,
    }
    return {key: value for key, value in wanted.items() if value != before[key]}
