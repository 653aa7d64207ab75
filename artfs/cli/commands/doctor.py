"""`artfs doctor`: damage, leftovers, and what is missing on this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator

import click
import msgspec

from artfs.cli.components import installed_version
from artfs.cli.frame import json_option, open_repository, store_option
from artfs.cli.output import format_count, format_size, print_json, print_line
from artfs.cli.rebuilding import rebuild_and_print
from artfs.credentials import without_credentials
from artfs.errors import ArtfsError, IntegrityError, MountError, PermissionDenied
from artfs.mounts import client
from artfs.mounts.refusals import FILE_SYSTEM_TYPE, UPDATEDB_CONF, is_crawled, problems
from artfs.repository.stores import STORE_FILE
from artfs.settings import expand_home, is_url, store_location
from artfs.upkeep.doctor import OWNERSHIP, Finding, Severity, examine, examine_ownership
from artfs.upkeep.doctor import repair as mend_ownership

_COMPONENTS = ("artfs", "pyfuse3", "trio", "SQLAlchemy", "msgspec", "botocore")
_PROBLEM = "problem"


@click.command(short_help="Look for damage, leftovers and what is missing on this machine.")
@click.option(
    "--repair",
    is_flag=True,
    help="First mend owners, groups and modes in the store's directory; root can mend all.",
)
@click.option(
    "--rebuild-catalog",
    "rebuild",
    is_flag=True,
    help="Make a catalog that is lost or damaged again, from what is beside the contents.",
)
@click.option(
    "--blobs", metavar="URL", help="Where the contents of a shared store are that lost it."
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be brought back.")
@click.option("-y", "--yes", is_flag=True, help="Rebuild a catalog that is sound without asking.")
@store_option
@json_option
def command(
    *,
    repair: bool,
    rebuild: bool,
    blobs: str | None,
    dry_run: bool,
    yes: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Check the store, the mounts of this user and this machine, without reading any content.

    Ends with exit code 5 for a damaged store, 8 where files in it keep its owner or group out, 13
    where mounting cannot work, and with that of
    the error where the store cannot be opened. Leftovers are harmless: `artfs gc` removes them.

    --rebuild-catalog reads what commits have left beside the contents. The old catalog is kept
    beside the new one; a shared store needs a database that is empty. Says what came back and
    what is lost, and ends with exit code 5 where something that versions hold is missing.

    \b
    Examples:
      artfs doctor
      artfs doctor --repair
      artfs doctor --rebuild-catalog --dry-run
    """
    location = store_location(store)
    if rebuild and repair:
        raise click.UsageError("--repair and --rebuild-catalog are two things: one after the other")
    if rebuild:
        return rebuild_and_print(location, blobs=blobs, dry_run=dry_run, yes=yes, as_json=as_json)
    if blobs is not None or dry_run or yes:
        raise click.UsageError("--blobs, --dry-run and --yes are for --rebuild-catalog")
    findings, code = _store_findings(location, repair=repair)
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


def _store_findings(location: str, *, repair: bool) -> tuple[list[Finding], int]:
    findings: list[Finding] = []
    try:
        root = None if is_url(location) else expand_home(location).absolute()
        if root is not None and (root / STORE_FILE).exists():
            # Before it is opened, for it may be that which does not work.
            mended = mend_ownership(root) if repair else 0
            if mended:
                text = "files and directories were given to the store's owner or group"
                note = Finding(severity=Severity.NOTE, kind="mended", text=text, count=mended)
                findings.append(note)
            findings += examine_ownership(root)
        with open_repository(location) as repository:
            # Of a server it is known by now that it answers, and takes the key.
            findings += [] if repository.is_server else examine(repository)
    except ArtfsError as error:
        text = f"the store cannot be examined: {error}"
        findings.append(Finding(severity=Severity.DAMAGE, kind="store", text=text))
        return findings, error.exit_code
    kinds = {each.kind for each in findings if each.severity is Severity.DAMAGE}
    if kinds - {OWNERSHIP}:
        return findings, IntegrityError.exit_code
    return findings, PermissionDenied.exit_code if kinds else 0


def _machine_findings() -> Iterator[Finding]:
    for problem in problems():
        yield Finding(
            severity=Severity.DAMAGE,
            kind=_PROBLEM,
            text=f"{problem.subject}: {problem.reason}",
            hint=problem.hint,
        )


def _mount_findings() -> Iterator[Finding]:
    if is_crawled():
        yield Finding(
            severity=Severity.NOTE,
            kind="crawler",
            text="updatedb reads the names of every version of the mounts that it may look into",
            hint=f"add {FILE_SYSTEM_TYPE} to PRUNEFS in {UPDATEDB_CONF}",
        )
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
