"""`artfs install`: man pages, completion, mount.artfs and units, where they are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import click

from artfs.cli.frame import json_option
from artfs.cli.installed import check_replaceable, files_to_install, install, remove
from artfs.cli.output import plural, print_json, print_line


@click.command(short_help="Install man pages, completion, mount.artfs and systemd units.")
@click.option("--user", "for_user", is_flag=True, help="For this user alone, below the home.")
@click.option("--remove", "undo", is_flag=True, help="Remove what was installed.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    metavar="DIR",
    help="Where the machine's root is, for packages and images (/).",
)
@click.option("--force", is_flag=True, help="Replace files that artfs did not make.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say which files it would be.")
@json_option
def command(
    *, for_user: bool, undo: bool, root: Path, force: bool, dry_run: bool, as_json: bool
) -> None:
    """Put man pages, tab completion (bash, zsh, fish), systemd units and, for the whole machine,
    mount.artfs where they are looked for, so that `mount -t artfs` and fstab work.

    As root it is for the whole machine (/usr/local/share, /etc/systemd/system, /sbin), else or
    with --user for this user. Run it again after an upgrade. Nothing is started or enabled.

    \b
    Examples:
      artfs install --dry-run
      artfs install --user --dry-run
    """
    from artfs.cli.app import OTHER_NAMES, group  # noqa: PLC0415 - it imports us
    from artfs.cli.manual import pages  # noqa: PLC0415 - `--help` does not need it

    for_user = for_user or (os.geteuid() != 0 and root == Path("/"))
    files = files_to_install(pages(group, OTHER_NAMES), root=root, for_user=for_user)
    paths = [str(each.path) for each in files]
    if not undo and not force:
        check_replaceable(files)
    if undo and not dry_run:
        paths = [str(each) for each in remove(files)]
    elif not dry_run:
        install(files)
    if as_json:
        print_json({"files": paths, "removed": undo, "dry_run": dry_run})
        return
    if dry_run:
        for path in paths:
            print_line(f"would {'remove' if undo else 'write'} {path}")
    else:
        print_line(f"{plural(len(paths), 'file')} {'removed' if undo else 'installed'}")
