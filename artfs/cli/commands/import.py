# ruff: noqa: N999 - its module has the name of each command
"""`artfs import`: what W&B, DVC or Hugging Face keep on this machine becomes a version."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artfs.cli.completing import complete_artifact
from artfs.cli.frame import (
    LocalPath,
    alias_option,
    description_option,
    exclude_option,
    include_option,
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
from artfs.cli.output import format_size, plural, print_json, print_line
from artfs.cli.progress import ProgressLine
from artfs.errors import InvalidArgument, StoreNotFound
from artfs.settings import RUN_VARIABLE

if TYPE_CHECKING:
    from artfs.foreign.base import ForeignTree
    from artfs.sdk.importing import Imported
    from artfs.sdk.publish import PutRequest


@click.command(short_help="Store what W&B, DVC or Hugging Face keep on this machine.")
@click.argument("source", metavar="SOURCE", type=LocalPath())
@click.option(
    "-n",
    "--name",
    required=True,
    metavar="PROJECT/NAME",
    help="The artifact; always needed.",
    shell_complete=complete_artifact,
)
@type_option
@alias_option
@description_option
@metadata_option
@tag_option
@ttl_option
@click.option(
    "--reference",
    "as_references",
    is_flag=True,
    help="Refer to the files where they are, and store no bytes.",
)
@link_option
@click.option(
    "--revision",
    metavar="REV",
    help="Of a Hugging Face cache: a branch, tag or commit (main, or the only one there).",
)
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the bytes are: a cache of W&B or DVC, or a W&B download.",
)
@include_option
@exclude_option
@click.option("--dry-run", is_flag=True, help="Only say what would be stored; no byte is read.")
@store_option
@json_option
def command(
    *,
    source: str,
    name: str,
    type_name: str | None,
    aliases: tuple[str, ...],
    description: str | None,
    metadata: str | None,
    tags: tuple[str, ...],
    ttl_s: float | None,
    as_references: bool,
    link: bool,
    revision: str | None,
    cache: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Store what SOURCE lists as the next version of PROJECT/NAME.

    SOURCE is a wandb_manifest.json or a directory with one, an X.dvc file, dvc.lock or a path
    that DVC tracks, or models--ORG--NAME (datasets--, spaces--) of a Hugging Face cache. The bytes
    come from beside the manifest and from W&B's cache, from DVC's cache and workspace, from
    the blobs of the repository. Every file that is named there by its digest is checked: the
    md5 of W&B and DVC, the SHA-256 of LFS and git's SHA-1. The W&B digest of the version is that
    of the manifest. References in a manifest stay references. A store is made if there is none.

    \b
    Examples:
      artfs import ./download -n demo/digits
      artfs import wandb_manifest.json --cache ./artifacts -n demo/digits
      artfs import data.dvc -n demo/data --link
      artfs import ./hub/models--google--bert -n demo/bert --revision main --reference
    """
    from artfs.foreign.finding import read_foreign  # noqa: PLC0415 - takes long to import
    from artfs.repository.path_filter import PathFilter  # noqa: PLC0415 - as above
    from artfs.sdk.importing import chosen_of  # noqa: PLC0415 - as above
    from artfs.sdk.publish import PutRequest  # noqa: PLC0415 - as above

    if link and as_references:
        raise InvalidArgument("--link", "and --reference exclude each other")
    request = PutRequest(
        name=name,
        type=type_name,
        description=description,
        metadata=json_object(metadata, option="--metadata"),
        aliases=aliases,
        run_id=os.environ.get(RUN_VARIABLE),
        tags=tuple(tags),
        ttl_s=None if ttl_s is None else int(ttl_s),
    )
    found = read_foreign(source, revision=revision, cache=cache)
    tree = chosen_of(found, PathFilter(include=include, exclude=exclude))
    if dry_run:
        _print_plan(store, tree, request, as_references=as_references, as_json=as_json)
    else:
        _store(store, tree, request, as_references=as_references, link=link, as_json=as_json)


def _store(
    store: str | None,
    tree: ForeignTree,
    request: PutRequest,
    *,
    as_references: bool,
    link: bool,
    as_json: bool,
) -> None:
    """Store it, and say so."""
    from artfs.blobs.base import Transfer  # noqa: PLC0415 - `--help` does not need it
    from artfs.foreign.base import check_there  # noqa: PLC0415 - as above
    from artfs.sdk.importing import import_tree  # noqa: PLC0415 - takes long to import

    # Before a store is made.
    check_there(tree)
    with open_repository(store, create=True) as repository, ProgressLine("importing") as progress:
        done = import_tree(
            repository,
            tree,
            request,
            as_references=as_references,
            transfer=Transfer.LINK if link else Transfer.COPY,
            on_progress=progress.show,
        )
    if not as_json:
        print_line(_summary(done))
        return
    print_json(
        stored_value(done.outcome, store_created=repository.is_new)
        | {
            "imported": _origin_value(tree)
            | {"proven_count": done.proven, "reference_count": done.referred},
        }
    )


def _origin_value(tree: ForeignTree) -> dict[str, str | int | None]:
    return {"kind": tree.kind.value, "from": tree.source, "revision": tree.revision or None}


def _summary(done: Imported) -> str:
    proven = f"; {done.proven} proven"
    if done.referred:
        proven += f", {plural(done.referred, 'reference')}"
    return stored_text(done.outcome, proven)


def _print_plan(
    store: str | None,
    tree: ForeignTree,
    request: PutRequest,
    *,
    as_references: bool,
    as_json: bool,
) -> None:
    """Say what would be stored; nothing is, and no store is made."""
    from artfs.foreign.base import check_there  # noqa: PLC0415 - `--help` does not need it
    from artfs.sdk.publish import commit_request  # noqa: PLC0415 - takes long to import

    with suppress(StoreNotFound), open_repository(store) as repository:
        commit_request(repository, request)
    check_there(tree)
    size_bytes = sum(file.size_bytes for file in tree.files)
    if as_json:
        kind = "reference" if as_references else "file"
        paths: list[dict[str, str | int | None]] = [
            {"path": file.path, "kind": kind, "size_bytes": file.size_bytes} for file in tree.files
        ]
        paths += [
            {"path": path, "kind": "reference", "size_bytes": entry.size_bytes}
            for path, entry in tree.references
        ]
        total = {"file_count": len(paths), "size_bytes": size_bytes}
        print_json(
            {"artifact": request.name, "dry_run": True, "paths": paths}
            | total
            | {"imported": _origin_value(tree)}
        )
        return
    for file in tree.files:
        verb = f"refer to {file.place} as" if as_references else "store"
        print_line(f"would {verb} {file.path}")
    for path, entry in tree.references:
        print_line(f"would refer to {entry.uri} as {path}")
    print_line(f"{request.name}: {plural(len(tree.files), 'file')}, {format_size(size_bytes)}")
