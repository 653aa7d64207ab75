"""`artfs run`: run a command as a run, so that what it uses and makes is recorded."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import click

from artfs.cli.frame import json_object, open_repository, run_value, store_option
from artfs.cli.output import print_note
from artfs.encoding import json_text
from artfs.errors import ArtfsError, InvalidArgument
from artfs.model import RunState, check_name
from artfs.settings import RUN_VARIABLE, STORE_VARIABLE, chosen_project

if TYPE_CHECKING:
    from artfs.catalog.records import RunRecord
    from artfs.repository.facade import Repository

_PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
# What a shell says of a command that a signal ended.
_SIGNAL_EXIT_CODE = 128
_LOOKED_EACH_S = 1.0


@click.command(
    short_help="Run a command as a run: what it uses and makes is recorded.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("-p", "--project", metavar="PROJECT", help="The project of the run.")
@click.option("-n", "--name", metavar="NAME", help="A name for people (one is made up).")
@click.option("--job-type", metavar="WORD", help='What the run does, such as "train".')
@click.option(
    "--config",
    metavar="JSON|@FILE",
    help="What it is configured with: a JSON object, or a file that holds one.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing at the end.")
@store_option
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Say at the end one JSON document instead of a text, on standard error too.",
)
@click.argument("arguments", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    *,
    project: str | None,
    name: str | None,
    job_type: str | None,
    config: str | None,
    quiet: bool,
    store: str | None,
    as_json: bool,
    arguments: tuple[str, ...],
) -> int:
    """Run COMMAND as a run, and leave with its exit code.

    Each version of which COMMAND or a process that it starts opens a file, below any mount of the
    store, becomes an input of the run. A script that calls `artfs.init()` joins the run.

    \b
    Example:
      artfs run --project demo --job-type train -- python train.py mnt/digits/latest
    """
    if shutil.which(arguments[0]) is None:
        raise InvalidArgument(arguments[0], "no such command")
    values = json_object(config, option="--config")
    chosen = check_name(chosen_project(project), kind="project")
    with open_repository(store, create=True) as repository:
        # Open until the end: as long as it is, everybody sees that the run is running.
        run = repository.catalog.create_run(chosen, name=name, job_type=job_type, config=values)
        named = {RUN_VARIABLE: run.id, STORE_VARIABLE: repository.address}
        code = _SIGNAL_EXIT_CODE
        try:
            code = _run(arguments, os.environ | named)
        finally:
            run = _finish(repository, run, failed=code != 0)
    if as_json:
        sys.stderr.write(f"{json_text(run_value(run) | {'exit_code': code}, indent=2)}\n")
    elif not quiet:
        print_note(f"run {run.name} ({run.project}, {run.id}) {run.state.value}")
    return code


def _run(arguments: tuple[str, ...], environment: dict[str, str]) -> int:
    """Run a command with our standard streams; its exit code, as a shell tells it.

    Signals that are sent to this process alone are passed on. Those that a terminal sends reach
    the command by themselves.
    """
    watched = {*_PASSED_ON, signal.SIGCHLD}
    # Ignored by whoever started us, it would not tell of the child's end.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = os.posix_spawnp(
            arguments[0],
            arguments,
            environment,
            setsigmask=before,
            # Python ignores it.
            setsigdef=[signal.SIGPIPE],
        )
        while True:
            received = signal.sigtimedwait(watched, _LOOKED_EACH_S)
            if received is not None and received.si_signo != signal.SIGCHLD:
                if received.si_code <= 0:
                    # Sent by a process; the kernel's own are sent to the whole terminal.
                    os.kill(child, received.si_signo)
                continue
            # SIGCHLD is sent to the process: a thread of it that does not block the signal may
            # take it, and nothing arrives here. So the child is looked for all the same.
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else _SIGNAL_EXIT_CODE - code
    except OSError as error:
        raise InvalidArgument(arguments[0], error.strerror or str(error)) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finish(repository: Repository, run: RunRecord, *, failed: bool) -> RunRecord:
    """End the run; the command's exit code stands even where that fails."""
    state = RunState.FAILED if failed else RunState.FINISHED
    try:
        return repository.catalog.finish_run(run.id, state)
    except ArtfsError as error:
        print_note(f"artfs: the end of run {run.id} is not recorded: {error}")
        return run
