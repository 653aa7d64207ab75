"""The command group: commands are imported when they are used, errors become one line."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from artfs.cli.completing import COMPLETE_VARIABLE, print_completions
from artfs.cli.forgiving import ForgivingGroup
from artfs.cli.output import (
    OutputLost,
    discard,
    error_value,
    json_is_printed,
    print_json,
    print_note,
    single_line,
)
from artfs.credentials import shown
from artfs.errors import ArtfsError, UsageError

DEBUG_VARIABLE = "ARTFS_DEBUG"
USAGE_EXIT_CODE = 2
_ANY_TEXT = "..\n" + 80 * "x" + "ö\N{CJK UNIFIED IDEOGRAPH-6570}"
BROKEN_PIPE_EXIT_CODE = 141

COMMANDS: dict[str, str] = {
    "init": "Make a store, in a directory or shared by many hosts.",
    "put": "Store files and directories as a new version.",
    "get": "Download a version, or a part of it; `artfs download` is the same.",
    "cat": "Print files of a version.",
    "ls": "List projects, artifacts, versions or the files of a version.",
    "mount": "Mount a store, project, artifact or version as a directory.",
    "umount": "End a mount; what was staged becomes a version.",
    "stage": "Mount a writable directory that becomes the next version.",
    "commit": "Make a version of a staging mount, which goes on.",
    "abort": "End a staging mount and keep nothing of it.",
    "staging": "List, resume, commit or drop staging areas.",
    "run": "Run a command as a run: what it uses and makes is recorded.",
    "alias": "Give names to versions, or take them away.",
    "edit": "Change the description, metadata, tags or time to live of a version.",
    "rm": "Delete versions, or artifacts with all their versions.",
    "diff": "Show what changed from one version to another.",
    "search": "Find versions by name, text, tag or metadata.",
    "history": "Show who made and used the versions of an artifact.",
    "manifest": "Print the W&B manifest of a version.",
    "verify": "Read and verify every byte of a version or of the store.",
    "warm": "Fetch a version, or a part of it, into the block cache.",
    "cache": "Show, empty or check the block cache.",
    "status": "Show the store and what is mounted.",
    "metrics": "Print metrics for Prometheus, or serve them.",
    "doctor": "Look for damage, leftovers and what is missing on this machine.",
    "serve": "Let W&B's clients log into a store, with API keys.",
    "web": "Look through a store in a browser.",
    "keys": "Give and take API keys for `artfs serve`.",
    "export": "Write a version as a tar archive or an OCI image.",
    "import": "Store what W&B, DVC or Hugging Face keep on this machine.",
    "install": "Install man pages, completion, mount.artfs and systemd units.",
    "completion": "Print what lets a shell complete names with the tab key.",
    "copy": "Copy artifacts from one store to another.",
    "gc": "Free the space of what is no longer used.",
}
"""Each command is the function `command` of the module of its name; a test compares the texts."""

OTHER_NAMES: dict[str, str] = {"download": "get"}
"""What else a command is called; its own name comes second."""


class _LazyGroup(ForgivingGroup):
    """Knows the names of its commands, and imports the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        name = OTHER_NAMES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module = import_module(f"artfs.cli.commands.{name}")
        command: click.Command = module.command
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from artfs.cli.components import installed_version  # noqa: PLC0415 - takes long to import

        click.echo(f"artfs {installed_version('artfs')}")
        ctx.exit()


def _set_log_level(ctx: click.Context, _parameter: click.Parameter, level: str | None) -> None:
    if level is not None and not ctx.resilient_parsing:
        import logging  # noqa: PLC0415 - only where it is asked for

        from artfs.system.processes import (  # noqa: PLC0415 - as above
            LOG_LEVEL_VARIABLE,
            log_to_stderr,
        )

        # A mount that is made is a process of its own.
        os.environ[LOG_LEVEL_VARIABLE] = level.upper()
        log_to_stderr(logging.getLevelNamesMapping()[level.upper()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`artfs COMMAND --help` explains a command, docs/operations.md settings and exit codes.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and leave.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    expose_value=False,
    callback=_set_log_level,
    help="Log from this level on to standard error; mounts that are made, to their logs.",
)
def group() -> None:
    """A dataset or model version is a path: versioned artifacts, mounted.

    The store comes from --store, else from $ARTFS_STORE, else from the configuration file, else
    it is in the user's data directory.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Raises: KeyboardInterrupt."""
    if COMPLETE_VARIABLE in os.environ:
        print_completions(group, arguments)
        return 0
    return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    _log_if_asked()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What the terminal's encoding lacks is shown as its number; nothing fails for it.
            stream.reconfigure(encoding=_printable(stream.encoding), errors="backslashreplace")
    try:
        code = _invoke(arguments)
        return _flushed(code)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to be flushed at exit.
        discard(sys.stdout)
        return BROKEN_PIPE_EXIT_CODE
    except click.ClickException as error:
        _show_usage(error)
        return USAGE_EXIT_CODE
    except click.Abort:
        raise KeyboardInterrupt from None
    except ArtfsError as error:
        _show_traceback_if_asked()
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        # What no layer below has put a name to: a disk may fail in any system call.
        _show_traceback_if_asked()
        return _output_lost(error) if isinstance(error, OutputLost) else _failed_on_disk(error)
    except Exception as error:  # noqa: BLE001 - a bug gets one line too, and its traceback is kept
        _show_traceback_if_asked()
        _complain(_unexpected_text(error))
        return ArtfsError.exit_code


def _printable(encoding: str) -> str:
    """The encoding, or UTF-8 in place of one in which not every text can be shown somehow."""
    try:
        _ANY_TEXT.encode(encoding, "backslashreplace")
    except UnicodeError:
        return "utf-8"
    return encoding


def _flushed(code: int) -> int:
    """The exit code of a command that is done, once its output is written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        return code or _output_lost(error)
    return code


def _output_lost(error: OSError) -> int:
    """The exit code of a command whose output could not be written; what it did stands."""
    discard(sys.stdout)
    what = error.strerror or str(error)
    _complain(f"standard output: {what}: what was to be printed is lost, what was done stands")
    return _translated(error, "standard output").exit_code


def _failed_on_disk(error: OSError) -> int:
    failure = _translated(error, _subject(error))
    _complain(str(failure))
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
    return failure.exit_code


def _subject(error: OSError) -> str:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    return " -> ".join(map(str, names)) or "the operating system"


def _translated(error: OSError, subject: str) -> ArtfsError:
    """The error of artfs that says the same."""
    from artfs.system.oserrors import translated  # noqa: PLC0415 - only for what failed

    return translated(error, subject)


def _invoke(arguments: Sequence[str]) -> int:
    # Not click's own `main`: it would print an empty line at Ctrl-C, and hide broken pipes.
    try:
        with group.make_context("artfs", list(arguments)) as context:
            try:
                result: Any = group.invoke(context)
            except (ArtfsError, click.UsageError, OSError) as error:
                _print_error(error, context, arguments)
                raise
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return result if isinstance(result, int) else 0


def _print_error(error: Exception, context: click.Context, arguments: Sequence[str]) -> None:
    """Tell programs, too, what they asked in JSON and why there is no answer."""
    asked = itertools.takewhile(lambda each: each != "--", arguments)
    if "--json" not in asked or arguments[0] == "run" or json_is_printed(context):
        return
    if isinstance(error, click.UsageError):
        value = error_value(UsageError("", _usage_text(error))) | {"exit_code": USAGE_EXIT_CODE}
    elif isinstance(error, OSError) and not isinstance(error, ArtfsError):
        if isinstance(error, OutputLost | BrokenPipeError):
            return
        value = error_value(_translated(error, _subject(error)))
    else:
        assert isinstance(error, ArtfsError)
        value = error_value(error)
    with suppress(OSError):
        # Where nothing can be printed the line on standard error says it still.
        print_json({"error": value})


def _show_usage(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    else:
        _complain(_usage_text(error))


def _usage_text(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "artfs"
    see = " See" if text.endswith("?") else ": see"
    return f"{text[:1].lower()}{text[1:]}{see} `{path} --help`"


def _complain(text: str) -> None:
    print_note(f"artfs: {single_line(shown(text))}")


def _log_if_asked() -> None:
    if os.environ.get(DEBUG_VARIABLE):
        import logging  # noqa: PLC0415 - only for debugging

        from artfs.system.processes import log_to_stderr  # noqa: PLC0415 - as above

        log_to_stderr(logging.DEBUG)


def _show_traceback_if_asked() -> None:
    if os.environ.get(DEBUG_VARIABLE):
        import traceback  # noqa: PLC0415 - only for debugging

        sys.stderr.write(shown(traceback.format_exc()))


def _unexpected_text(error: Exception) -> str:
    what = f"internal error: {type(error).__name__}: {error}"
    if os.environ.get(DEBUG_VARIABLE):
        return what
    kept = _keep_traceback()
    where = f"the traceback is in {kept}" if kept else f"{DEBUG_VARIABLE}=1 shows the traceback"
    return f"{what}: {where}"


def _keep_traceback() -> str | None:
    """Append the current traceback to the log of errors; where that is, unless it failed."""
    import traceback  # noqa: PLC0415 - only for bugs
    from datetime import UTC, datetime  # noqa: PLC0415 - only for bugs

    from artfs.system.user_places import log_directory, open_log  # noqa: PLC0415 - only for bugs

    name = "errors.log"
    try:
        fd = open_log(name)
        with os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace") as file:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            arguments = [shown(each) for each in sys.argv[1:]]
            file.write(f"{now} artfs {arguments}\n{shown(traceback.format_exc())}\n")
    except (OSError, ArtfsError):
        return None
    return str(log_directory() / name)
