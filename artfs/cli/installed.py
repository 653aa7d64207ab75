"""What artfs puts on a machine beside its package: man pages, completion, mount.artfs, units."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import msgspec

from artfs.cli.completing import script
from artfs.errors import Conflict
from artfs.system.oserrors import translate_os_errors

MARK = "Made by `artfs install`"
"""Stands in every file that is made, and lets the next one replace it."""
_HELPERS = ("mount.artfs", "mount.fuse.artfs")

_MOUNT_UNIT = """\
# {mark}.
# Settings: {settings}/%i.env with ARTFS_STORE=… and ARTFS_MOUNT=-o allow_other demo/digits
[Unit]
Description=artfs on %f
Documentation=man:artfs-mount(1)
After=local-fs.target network-online.target
Wants=network-online.target

[Service]
Type=notify
EnvironmentFile=-{settings}/%i.env
ExecStart={artfs} --log-level info mount --foreground $ARTFS_MOUNT %f
ExecStopPost=-fusermount3 -uzq %f
Restart=on-failure
RestartSec=5

[Install]
WantedBy={target}
"""
_SERVE_UNIT = """\
# {mark}.
# Settings: {settings}/serve.env with ARTFS_STORE=… and ARTFS_SERVE=--listen 0.0.0.0:8231
[Unit]
Description=artfs for W&B's clients
Documentation=man:artfs-serve(1)
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
EnvironmentFile=-{settings}/serve.env
ExecStart={artfs} serve $ARTFS_SERVE
Restart=on-failure
RestartSec=5

[Install]
WantedBy={target}
"""
_GC_UNIT = """\
# {mark}.
# Settings: {settings}/gc.env with ARTFS_STORE=… and ARTFS_GC=--grace 7d
[Unit]
Description=artfs frees the space of what is no longer used
Documentation=man:artfs-gc(1)

[Service]
Type=oneshot
Nice=10
IOSchedulingClass=idle
EnvironmentFile=-{settings}/gc.env
ExecStart={artfs} gc $ARTFS_GC
"""
_GC_TIMER = """\
# {mark}.
[Unit]
Description=artfs frees the space of what is no longer used, once a day
Documentation=man:artfs-gc(1)

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
"""


class InstalledFile(msgspec.Struct, frozen=True):
    """A file that is put on the machine."""

    path: Path
    text: str
    mode: int = 0o644


def files_to_install(manual: dict[str, str], *, root: Path, for_user: bool) -> list[InstalledFile]:
    """All files, for the whole machine or for this user alone.

    `root` stands before every path of the machine, as a package's staging directory does. `manual`
    are the man pages by name.
    """
    home = Path.home()
    share = home / ".local" / "share" if for_user else root / "usr/local/share"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    fish = config / "fish/completions" if for_user else share / "fish/vendor_completions.d"
    found = [
        InstalledFile(share / f"man/man{name.rpartition('.')[2]}" / name, f'.\\" {MARK}.\n{text}')
        for name, text in manual.items()
    ]
    found += [
        InstalledFile(share / "bash-completion/completions/artfs", _marked(script("bash"))),
        InstalledFile(share / "zsh/site-functions/_artfs", _marked(script("zsh"))),
        InstalledFile(fish / "artfs.fish", _marked(script("fish"))),
    ]
    units = config / "systemd/user" if for_user else root / "etc/systemd/system"
    found += _units(units, "%h/.config/artfs" if for_user else "/etc/artfs", for_user=for_user)
    if not for_user:
        python = shlex.quote(sys.executable)
        helper = f'#!/bin/sh\n# {MARK}.\nexec {python} -P -m artfs.cli.mounthelper "$@"\n'
        found += [InstalledFile(root / "sbin" / name, helper, 0o755) for name in _HELPERS]
    return found


def _units(directory: Path, settings: str, *, for_user: bool) -> list[InstalledFile]:
    target = "default.target" if for_user else "multi-user.target"
    artfs = f'"{sys.executable}" -P -m artfs'
    return [
        InstalledFile(
            directory / name,
            text.format(mark=MARK, settings=settings, artfs=artfs, target=target),
        )
        for name, text in (
            ("artfs-mount@.service", _MOUNT_UNIT),
            ("artfs-serve.service", _SERVE_UNIT),
            ("artfs-gc.service", _GC_UNIT),
            ("artfs-gc.timer", _GC_TIMER),
        )
    ]


def _marked(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first}\n# {MARK}.\n{rest}"


def check_replaceable(files: list[InstalledFile]) -> None:
    """Raises: Conflict where something stands in the way that artfs did not make."""
    for each in files:
        with translate_os_errors(each.path):
            if os.path.lexists(each.path) and not _is_ours(each.path):
                raise Conflict(
                    str(each.path), "is there and not of artfs", hint="move it away, or --force"
                )


def install(files: list[InstalledFile]) -> None:
    """Write all files, each whole or not at all. Raises: PermissionDenied, OutOfSpace."""
    for each in files:
        with translate_os_errors(each.path):
            each.path.parent.mkdir(parents=True, exist_ok=True)
            aside = each.path.with_name(f".{each.path.name}.artfs")
            aside.unlink(missing_ok=True)
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, each.mode)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                os.fchmod(fd, each.mode)
                file.write(each.text)
            aside.replace(each.path)


def remove(files: list[InstalledFile]) -> list[Path]:
    """Remove those of the files that artfs made; which these were. Raises: PermissionDenied."""
    removed = []
    for each in files:
        with translate_os_errors(each.path):
            if os.path.lexists(each.path) and _is_ours(each.path):
                each.path.unlink()
                removed.append(each.path)
    return removed


def _is_ours(path: Path) -> bool:
    return path.is_file() and MARK in path.read_text("utf-8", errors="replace")
