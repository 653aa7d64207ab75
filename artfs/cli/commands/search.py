"""`artfs search`: find versions by what they are called and say of themselves."""

from __future__ import annotations

import click

from artfs.cli.frame import (
    json_option,
    open_repository,
    raise_damage,
    store_option,
    version_value,
)
from artfs.cli.output import (
    format_age,
    format_count,
    format_size,
    print_json,
    print_note,
    print_table,
)
from artfs.errors import DamagedRecord

_HIDDEN = "\0"


class _Words(click.Command):
    """Takes `-tag:raw` for a word, as nobody means five options by it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        hidden = [f"{_HIDDEN}{each}" if _is_word(each) else each for each in args]
        return super().parse_args(ctx, hidden)


def _is_word(argument: str) -> bool:
    return len(argument) > 2 and argument[0] == "-" and argument[1] != "-"


@click.command(cls=_Words, short_help="Find versions by name, text, tag or metadata.")
@click.argument("words", metavar="WORD...", nargs=-1, required=True)
@click.option("-p", "--project", metavar="PROJECT", help="Only in this project.")
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(min=1, max=10_000),
    default=100,
    show_default=True,
    help="Show the newest N that are found.",
)
@store_option
@json_option
def command(
    *, words: tuple[str, ...], project: str | None, limit: int, store: str | None, as_json: bool
) -> None:
    """Show the newest versions for which all words hold.

    A word is text that stands anywhere in names, descriptions, tags, aliases and metadata; or a
    field with a value: name, project, type, tag, alias and description with `:`, in which * and ?
    stand for anything; size, files, created and metadata.KEY with = != > >= < <= and ~ (has this
    text). A word with - before it must not hold.

    \b
    Examples:
      artfs search roses type:dataset -tag:raw
      artfs search 'metadata.accuracy > 0.9' alias:latest
      artfs search 'created > 2026-01-31' 'size > 10GiB'
    """
    from artfs.catalog.queries import Search  # noqa: PLC0415 - `--help` does not need it
    from artfs.repository.querylanguage import parse_query  # noqa: PLC0415 - as above

    terms = parse_query(" ".join(word.removeprefix(_HIDDEN) for word in words))
    damaged: list[DamagedRecord] = []
    with open_repository(store) as repository:
        if project is not None:
            repository.require_project(project)
        wanted = Search(terms=terms, projects=None if project is None else (project,), limit=limit)
        found = repository.catalog.search(wanted, on_damage=damaged.append)
    if as_json:
        print_json([version_value(version) for version in found.versions])
        raise_damage(damaged)
        return
    header = ("VERSION", "TYPE", "AGE", "FILES", "SIZE", "ALIASES", "DESCRIPTION")
    rows = [
        (
            version.path,
            version.type,
            format_age(version.created_at_ns),
            format_count(version.file_count),
            format_size(version.size_bytes),
            ", ".join(version.aliases),
            version.description or "",
        )
        for version in found.versions
    ]
    print_table(header, rows, right=frozenset({"FILES", "SIZE"}))
    if found.is_cut:
        print_note("artfs: there may be more: say more words, or a larger --limit")
    raise_damage(damaged)
