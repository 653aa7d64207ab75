"""`artfs init`: make a store."""

from __future__ import annotations

import click

from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.output import print_json, print_line
from artfs.settings import store_location


@click.command(short_help="Make a store, in a directory or shared by many hosts.")
@click.option(
    "--blobs",
    metavar="URL",
    help="Where a shared store keeps contents: s3://BUCKET/PREFIX or file:///DIRECTORY.",
)
@click.option("--entity", metavar="NAME", help="Whom it belongs to ($ARTFS_ENTITY, $USER).")
@click.option(
    "--group",
    metavar="GROUP",
    help="Whose members all read and write a store in a directory; without it, its owner alone.",
)
@store_option
@json_option
def command(
    *,
    blobs: str | None,
    entity: str | None,
    group: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Make the store that --store or $ARTFS_STORE names. One that is there already stays.

    A directory needs no `init`: the first `put` makes it a store, which is private. With --group
    all of it belongs to a group, whoever writes; a store that is there becomes one of the group. A
    shared store is a database of
    a PostgreSQL server, which exists, and a place for contents, which no other store uses; all
    hosts then name it by the database's URL alone. Neither passwords nor keys are kept: every
    host has its own, in ~/.pgpass and where AWS tools look for them.

    \b
    Examples:
      artfs init --store postgresql://artfs@db.example/artfs --blobs s3://bucket/artfs
      artfs init --store postgresql:///artfs --blobs 's3://team/p?endpoint=https://s3.example:9000'
      artfs init --store /data/artfs --entity vision-team
    """
    from artfs.repository.stores import make_store  # noqa: PLC0415 - takes long to import

    address = store_location(store)
    created = make_store(address, blobs=blobs, entity=entity, group=group)
    with open_repository(address) as repository:
        info = repository.info
        place = repository.catalog.settings().get("blobs")
    if as_json:
        value = {"store": info.location, "entity": info.entity, "blobs": place}
        print_json(value | {"created": created})
        return
    what = "a new store" if created else "already a store"
    where = f", with blobs at {place}" if place else ""
    print_line(f"{info.location} is {what} of {info.entity}{where}")
