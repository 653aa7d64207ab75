"""Help, start-up and the frame that all commands share."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import click
import pytest

from artfs.cli.app import COMMANDS, OTHER_NAMES
from artfs.cli.components import installed_version
from tests.cli.conftest import ROOT, Cli

HEAVY = {
    "PIL",
    "botocore",
    "google",
    "numpy",
    "pyfuse3",
    "requests",
    "rich",
    "sqlalchemy",
    "trio",
}

STORELESS = {"completion", "install", "umount"}


def commands() -> list[tuple[str, click.Command]]:
    """Every command with its full name; subcommands in place of their group."""
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = import_module(f"artfs.cli.commands.{name}").command
        if isinstance(command, click.Group):
            found.extend((f"{name} {sub}", each) for sub, each in command.commands.items())
        else:
            found.append((name, command))
    return found


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_has_an_example_and_speaks_json(name: str, command: click.Command) -> None:
    assert f"  artfs {name}" in (command.help or "")
    assert "Example" in (command.help or "")
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options
    assert "--store" in options or name in STORELESS or name.startswith("cache ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_group_has_an_example_too(name: str) -> None:
    command = import_module(f"artfs.cli.commands.{name}").command
    assert f"  artfs {name}" in (command.help or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    assert import_module(f"artfs.cli.commands.{name}").command.short_help == COMMANDS[name]


@pytest.mark.parametrize(("other", "name"), OTHER_NAMES.items())
def test_a_command_with_another_name_is_the_same(cli: Cli, other: str, name: str) -> None:
    assert other not in COMMANDS
    assert f"`artfs {other}` is the same" in COMMANDS[name]
    text = cli.ok(other, "--help").out
    assert text.startswith(f"Usage: artfs {other} ")
    assert text.partition("\n")[2] == cli.ok(name, "--help").out.partition("\n")[2]


def loaded_modules(cli: Cli, *arguments: str) -> set[str]:
    """The top-level modules that a command line imports."""
    program = (
        "import sys; from artfs.cli.app import run; run(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=cli.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_help_imports_nothing_heavy(cli: Cli) -> None:
    assert not loaded_modules(cli, "--help") & HEAVY


def test_ls_imports_nothing_heavy_but_the_catalog(filled: Cli) -> None:
    loaded = loaded_modules(filled, "ls", "demo/data:latest")
    assert loaded & HEAVY == {"sqlalchemy"}


def test_without_arguments_it_explains_itself(cli: Cli) -> None:
    result = cli.run()
    assert result.code == 2
    assert "Usage: artfs" in result.err


def test_it_knows_its_version(cli: Cli) -> None:
    assert cli.ok("--version").out == f"artfs {installed_version('artfs')}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lss",), "no such command 'lss'"),
        (("ls", "--nonsense"), "no such option"),
        (("put",), "missing"),
        (("mount",), "expected [TARGET] MOUNTPOINT"),
        (("gc", "--grace", "soon"), "'soon'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    cli: Cli, arguments: tuple[str, ...], says: str
) -> None:
    line = cli.fails(2, *arguments, says=says)
    assert "--help`" in line


def test_a_bug_is_one_line_and_its_traceback_is_kept(cli: Cli) -> None:
    program = (
        "import sys, artfs.cli.app as app; "
        "app.group.callback = lambda: 1 / 0; "
        "sys.exit(app.run(['ls']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=cli.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    log = cli.state / "artfs" / "errors.log"
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"artfs: internal error: ZeroDivisionError: division by zero: the traceback is in {log}"
    ]
    assert "Traceback" in log.read_text()


def test_debugging_shows_the_traceback(cli: Cli) -> None:
    result = cli.run("ls", env={"ARTFS_DEBUG": "1"})
    assert result.code == 3
    assert "Traceback" in result.err


def test_a_reader_that_goes_away_is_no_error(filled: Cli) -> None:
    process = filled.popen("ls", "-l", "demo/data:latest")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
