"""`artfs put`: store files and directories as a new version."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from artfs.cli.completing import complete_artifact
from artfs.cli.forgiving import looks_like_path, swapped
from artfs.cli.frame import (
    LocalPath,
    alias_option,
    description_option,
    exclude_option,
    json_object,
    json_option,
    link_option,
    metadata_option,
    open_repository,
    store_option,
    stored_text,
    stored_value,
    tag_option,
    ttl_option,
    type_option,
)
from artfs.cli.output import format_size, plural, print_json, print_line, print_note
from artfs.cli.progress import ProgressLine
from artfs.errors import StoreNotFound
from artfs.settings import RUN_VARIABLE

if TYPE_CHECKING:
    from artfs.catalog.records import CommitResult
    from artfs.sdk.publish import PutRequest
    from artfs.sdk.referring import ReferenceRequest, Skipped


@click.command(short_help="Store files and directories as a new version.")
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=LocalPath())
@click.option(
    "-n",
    "--name",
    metavar="PROJECT/NAME",
    help="The artifact; always needed.",
    shell_complete=complete_artifact,
)
@type_option
@alias_option
@description_option
@metadata_option
@link_option
@click.option(
    "-r",
    "--ref",
    "references",
    multiple=True,
    metavar="[NAME=]URI",
    help="Refer to what URI names, and leave it where it is.",
)
@click.option(
    "--no-checksum", is_flag=True, help="Refer without looking; such content is not verified."
)
@click.option(
    "--max-objects",
    type=click.IntRange(min=1),
    metavar="N",
    help="The most objects that one URI may stand for (10,000 in a bucket).",
)
@click.option(
    "--skip-invalid",
    is_flag=True,
    help="Leave out keys of a bucket that cannot be paths, like a//b, and name them.",
)
@exclude_option
@click.option(
    "--other-file-systems",
    is_flag=True,
    help="Go also into what is mounted below a directory from elsewhere.",
)
@tag_option
@ttl_option
@click.option("--dry-run", is_flag=True, help="Only say what would be stored.")
@store_option
@json_option
def command(
    *,
    paths: tuple[str, ...],
    name: str | None,
    type_name: str | None,
    aliases: tuple[str, ...],
    description: str | None,
    metadata: str | None,
    link: bool,
    references: tuple[str, ...],
    no_checksum: bool,
    max_objects: int | None,
    skip_invalid: bool,
    exclude: tuple[str, ...],
    other_file_systems: bool,
    tags: tuple[str, ...],
    ttl_s: float | None,
    dry_run: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Store each PATH, file or directory, as the next version of PROJECT/NAME.

    The content of a single directory comes into the version's root; of several, each PATH goes
    under its own name. Symbolic links are kept as links. What `.artfsignore` in the root of a
    directory or --exclude names is left out; the syntax is that of .gitignore. So are
    mounts of artfs below it, and what is on another file system. A store is made if there is none.
    Content that equals that of `latest` makes no new version; a description, metadata, tags and
    time to live are then set on the one that is there.

    A reference (http, https, s3, gs, file, artfs) is pinned as it is now and read from there,
    through the cache. A directory or prefix stands for all that is below it. It goes under the
    last part of its URI, or below NAME.

    \b
    Examples:
      artfs put ./digits -n demo/digits -t dataset -a reviewed
      artfs put model.pt labels.json -n demo/model -t model --metadata '{"epochs": 3}'
      artfs put ./digits -n demo/digits --exclude '*.tmp' --exclude .git/ --dry-run
      artfs put README.md -r images=s3://bucket/train -r https://host/labels.csv -n demo/refs
    """
    from artfs.sdk.publish import PutRequest  # noqa: PLC0415 - takes long to import

    name = _checked_name(name, paths)
    request = PutRequest(
        name=name,
        type=type_name,
        description=description,
        metadata=json_object(metadata, option="--metadata"),
        aliases=aliases,
        run_id=os.environ.get(RUN_VARIABLE),
        tags=tuple(tags),
        ttl_s=None if ttl_s is None else int(ttl_s),
        exclude=exclude,
        one_file_system=not other_file_systems,
        references=_references(
            references, checksum=not no_checksum, max_objects=max_objects, skip_invalid=skip_invalid
        ),
    )
    if dry_run:
        _print_plan(store, paths, request, as_json=as_json)
        return
    _store(store, paths, request, link=link, as_json=as_json)


def _store(
    store: str | None, paths: tuple[str, ...], request: PutRequest, *, link: bool, as_json: bool
) -> None:
    """Store it, and say so."""
    from artfs.blobs.base import Transfer  # noqa: PLC0415 - `--help` does not need it
    from artfs.sdk.publish import put  # noqa: PLC0415 - takes long to import

    skipped: list[Skipped] = []
    with open_repository(store, create=True) as repository, ProgressLine("storing") as progress:
        outcome = put(
            repository,
            paths,
            request,
            transfer=Transfer.LINK if link else Transfer.COPY,
            # Totals cost a second look at every file: only where somebody watches.
            on_progress=progress.if_watched,
            on_references=progress.note_count,
            on_skipped=skipped.append,
            on_left_out=_note_left_out,
        )
    if as_json:
        _print_json(outcome, skipped, store_created=repository.is_new)
    else:
        _print(outcome, skipped)


def _checked_name(name: str | None, paths: tuple[str, ...]) -> str:
    """Raises: click.UsageError without a name, InvalidArgument for one that is a path."""
    if name is None:
        text = "missing option '-n' / '--name'"
        *sources, last = paths or ("",)
        if sources and "/" in last and not looks_like_path(last) and not os.path.lexists(last):
            text += f": did you mean `artfs put {shlex.join([*sources, '-n', last])}`?"
        raise click.UsageError(text, click.get_current_context())
    if looks_like_path(name) and len(paths) == 1 and not os.path.lexists(paths[0]):
        raise swapped("put", [name, "-n", paths[0]])
    return name


def _print_json(outcome: CommitResult, skipped: list[Skipped], *, store_created: bool) -> None:
    print_json(stored_value(outcome, store_created=store_created) | _skipped_value(skipped))


def _print(outcome: CommitResult, skipped: list[Skipped]) -> None:
    print_line(stored_text(outcome))
    if skipped:
        print_line(f"left out {plural(len(skipped), 'key')} that cannot be paths:")
    for each in skipped:
        print_line(f"  {each.key!r} of {each.uri}: {each.reason}")


def _references(
    texts: tuple[str, ...], *, checksum: bool, max_objects: int | None, skip_invalid: bool
) -> tuple[ReferenceRequest, ...]:
    return tuple(
        _reference(text, checksum=checksum, max_objects=max_objects, skip_invalid=skip_invalid)
        for text in texts
    )


def _reference(
    text: str, *, checksum: bool, max_objects: int | None, skip_invalid: bool
) -> ReferenceRequest:
    """What `[NAME=]URI` says; a URI's own `=` comes behind its first colon."""
    from artfs.sdk.referring import ReferenceRequest  # noqa: PLC0415 - takes long to import

    name, sign, uri = text.partition("=")
    if not sign or ":" in name:
        name, uri = "", text
    return ReferenceRequest(
        uri=uri,
        name=name or None,
        checksum=checksum,
        max_objects=max_objects,
        skip_invalid=skip_invalid,
    )


def _note_left_out(path: str, reason: str) -> None:
    print_note(f"artfs: {path}: left out: {reason}")


def _print_plan(
    store: str | None, paths: tuple[str, ...], request: PutRequest, *, as_json: bool
) -> None:
    """Say what would be stored; nothing is, and no store is made."""
    from artfs.sdk.publish import planned  # noqa: PLC0415 - takes long to import

    repository = None
    with suppress(StoreNotFound):
        repository = open_repository(store)
    found: list[dict[str, str | int | None]] = []
    files = size_bytes = 0
    try:
        for path, size in planned(repository, paths, request, on_left_out=_note_left_out):
            files += 1
            size_bytes += size or 0
            if as_json:
                kind = "symlink" if size is None else "file"
                found.append({"path": path, "kind": kind, "size_bytes": size})
            else:
                print_line(f"would store {path}")
    finally:
        if repository is not None:
            repository.close()
    uris = [each.uri for each in request.references]
    if as_json:
        total = {"file_count": files, "size_bytes": size_bytes, "references": uris}
        print_json({"artifact": request.name, "dry_run": True, "paths": found} | total)
        return
    for uri in uris:
        print_line(f"would refer to {uri}")
    print_line(f"{request.name}: {plural(files, 'file')}, {format_size(size_bytes)}")


def _skipped_value(skipped: list[Skipped]) -> dict[str, object]:
    return {
        "skipped": [{"uri": each.uri, "key": each.key, "reason": each.reason} for each in skipped]
    }
