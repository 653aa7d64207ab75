"""Man pages, made from the help of the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import dedent

import click

from artfs.cli.components import installed_version
from artfs.errors import ArtfsError

_SECTION = "1"
_EXAMPLE = re.compile(r"^Examples?:$")
_COMMAND = re.compile(r"`([^`]+)`")


def pages(group: click.Group, other_names: dict[str, str]) -> dict[str, str]:
    """All man pages by the names of their files: `artfs.1`, `artfs-get.1`, `artfs-alias-add.1`.

    What a command is also called leads to its page.
    """
    made: dict[str, str] = {}
    for name, command, context in _commands(group):
        made[f"{name}.{_SECTION}"] = _page(name, command, context)
    for other, name in other_names.items():
        made[f"artfs-{other}.{_SECTION}"] = f".so man{_SECTION}/artfs-{name}.{_SECTION}\n"
    return made


def _commands(group: click.Group) -> Iterator[tuple[str, click.Command, click.Context]]:
    waiting: list[tuple[str, click.Command, click.Context | None]] = [("artfs", group, None)]
    while waiting:
        name, command, parent = waiting.pop(0)
        context = click.Context(
            command,
            info_name=name.rpartition("-")[2],
            parent=parent,
            help_option_names=["-h", "--help"],
        )
        yield name, command, context
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                found = command.get_command(context, each)
                assert found is not None
                waiting.append((f"{name}-{each}", found, context))


def _page(name: str, command: click.Command, context: click.Context) -> str:
    title = f'.TH "{name.upper()}" "{_SECTION}" "" "artfs {installed_version("artfs")}" "artfs"'
    short = command.short_help or command.get_short_help_str(100)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [title, ".SH NAME", f"{_escaped(name)} \\- {_escaped(short.rstrip('.'))}"]
    lines += [".SH SYNOPSIS", f".B {_escaped(context.command_path)}", _escaped(usage)]
    text, examples = _parted(command.help or "")
    lines += [".SH DESCRIPTION", *_paragraphs(text)]
    options = [
        each.get_help_record(context)
        for each in command.get_params(context)
        if isinstance(each, click.Option)
    ]
    if any(options):
        lines.append(".SH OPTIONS")
        for option in filter(None, options):
            lines += [".TP", f".B {_escaped(option[0])}", _escaped(option[1])]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            shown = _escaped(found.short_help or found.get_short_help_str(100))
            lines += [".TP", f".BR {_escaped(f'{name}-{each}')} ({_SECTION})", shown]
    if examples:
        lines += [".SH EXAMPLES", ".nf", *map(_escaped, examples), ".fi"]
    lines += [".SH EXIT STATUS", *_exit_codes(), ".SH SEE ALSO", _see_also(context)]
    return "\n".join(lines) + "\n"


def _parted(text: str) -> tuple[str, list[str]]:
    """The help's text, and its examples."""
    lines = dedent(text.replace("\b\n", "")).strip().splitlines()
    for number, line in enumerate(lines):
        if _EXAMPLE.fullmatch(line.strip()):
            return "\n".join(lines[:number]), [each.strip() for each in lines[number + 1 :] if each]
    return "\n".join(lines), []


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            yield ".PP"
        yield _escaped(" ".join(paragraph.split()))


def _exit_codes() -> Iterator[str]:
    """What errors end with, and for which kinds of them it stands."""
    found: dict[int, list[str]] = {}
    waiting: list[type[ArtfsError]] = [ArtfsError]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.exit_code, []).append(kind.__name__)
        waiting += [each for each in kind.__subclasses__() if each.__module__ == "artfs.errors"]
    yield "0 for success, 2 for a command line that is wrong; else what stands in front of:"
    for code in sorted(found):
        names = ", ".join(dict.fromkeys(found[code]))
        yield from (".TP", f".B {code}", _escaped(names))


def _see_also(context: click.Context) -> str:
    above = context.parent
    if above is None:
        return "docs/cli.md and docs/operations.md of artfs"
    return f".BR {_escaped(above.command_path.replace(' ', '-'))} ({_SECTION})"


def _escaped(text: str) -> str:
    """Text that troff prints as it is; what stands in backquotes is bold."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    safe = _COMMAND.sub(r"\\fB\1\\fP", safe).replace("`", "\\(ga").replace("~", "\\(ti")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe
