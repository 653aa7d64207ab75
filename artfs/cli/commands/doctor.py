"""`artfs doctor`: damage, leftovers, and what is missing on this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator

import click
import msgspec

from artfs.cli.components import installed_version
from artfs.cli.frame import open_repository
from artfs.cli.options import json_option, store_option
from artfs.cli.output import format_count, format_size, print_json, print_line
from artfs.errors import ArtfsError, IntegrityError, MountError
from artfs.mounts import client
from artfs.mounts.refusals import problems
from artfs.references.credentials import without_credentials
from artfs.settings import store_location
from artfs.upkeep.doctor import Finding, Severity, examine

_COMPONENTS = ("artfs", "pyfuse3", "trio", "SQLAlchemy", "msgspec", "boto3")
_PROBLEM = "problem"


@click.command(short_help="Look for damage, leftovers and what is missing on this machine.")
@store_option
@json_option
def command(*, store: str | None, as_json: bool) -> int:
    """Check the store, the mounts of this user and this machine, without reading any content.

    Ends with exit code 5 for a damaged store, 13 where mounting cannot work, and with that of
    the error where the store cannot be opened. Leftovers are harmless: `artfs gc` removes them.

    \b
    Example:
      artfs doctor
    """
    location = store_location(store)
    findings, code = _store_findings(location)
    environment = [*_machine_findings(), *_mount_findings()]
    if code == 0 and any(finding.kind == _PROBLEM for finding in environment):
        code = MountError.exit_code
    findings += environment
    if as_json:
        print_json(
            {
                "ok": code == 0,
                "store": without_credentials(location),
                "versions": _versions(),
                "findings": [msgspec.to_builtins(finding) for finding in findings],
            }
        )
        return code
    print_line(f"Store {without_credentials(location)}")
    print_line(", ".join(f"{name} {found}" for name, found in _versions().items()))
    for finding in findings:
        _print_finding(finding)
    if code == 0:
        print_line("No problem found")
    return code


def _store_findings(location: str) -> tuple[list[Finding], int]:
    try:
        with open_repository(location) as repository:
            findings = examine(repository)
    except ArtfsError as error:
        text = f"the store cannot be examined: {error}"
        return [Finding(severity=Severity.DAMAGE, kind="store", text=text)], error.exit_code
    damaged = any(finding.severity is Severity.DAMAGE for finding in findings)
    return findings, IntegrityError.exit_code if damaged else 0


def _machine_findings() -> Iterator[Finding]:
    for problem in problems():
        yield Finding(
            severity=Severity.DAMAGE,
            kind=_PROBLEM,
            text=f"{problem.subject}: {problem.reason}",
            hint=problem.hint,
        )


def _mount_findings() -> Iterator[Finding]:
    dead = [
        str(each.mountpoint) for each in client.mounts() if each.state is client.MountState.DEAD
    ]
    if dead:
        yield Finding(
            severity=Severity.GARBAGE,
            kind="dead-mount",
            text="mounts whose process is gone",
            hint="`artfs umount` cleans up",
            count=len(dead),
            names=tuple(dead),
        )


def _versions() -> dict[str, str]:
    found = {"Linux": platform.release(), "Python": platform.python_version()}
    for name in _COMPONENTS:
        found[name] = installed_version(name)
    if shutil.which("fusermount3") is not None:
        done = subprocess.run(
            ["fusermount3", "--version"], capture_output=True, text=True, check=False
        )
        found["fusermount3"] = done.stdout.rpartition(" ")[2].strip()
    return found


def _print_finding(finding: Finding) -> None:
    text = f"{finding.severity.value.upper()}: {finding.text}"
    if finding.count:
        text += f": {format_count(finding.count)}"
    if finding.size_bytes:
        text += f" ({format_size(finding.size_bytes)})"
    print_line(f"{text}: {finding.hint}" if finding.hint else text)
    for name in finding.names:
        print_line(f"    {name}")
    if finding.count > len(finding.names) > 0:
        print_line("    …")
