"""A step of a program: a mount that is read while others change what it shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from artfs.mounts import client
from artfs.mounts.client import MountOptions, MountRequest
from artfs.system.mountinfo import mounted_file_systems
from tests.hunt.programs import ARTIFACTS, CONTENTS, tree
from tests.support import daemons
from tests.support.starter import daemon_starter

_PASSES = 3
_NUMBER = re.compile(r"v\d+")


def start_daemons_by_fork(environment: dict[str, str]) -> None:
    """Let mounts of this process, and of those that it forks, be children of one starter."""
    daemons.start_through(daemon_starter(environment).path)


def read_mounted(store: str, project: str, *, home: Path, name: str) -> list[str]:
    """Mount a project, and read all that is there several times; what must not have been read."""
    mountpoint = home / f"mnt-{name}"
    mountpoint.mkdir(exist_ok=True)
    options = MountOptions(alias_ttl_s=0.0, read_timeout_s=20.0)
    client.start(MountRequest(store=store, target=project, mountpoint=mountpoint, options=options))
    found: list[str] = []
    try:
        for _ in range(_PASSES):
            for artifact in ARTIFACTS:
                found += wrong_in(mountpoint / artifact)
    finally:
        client.stop(mountpoint, force=True)
    return found


def wrong_in(artifact: Path) -> list[str]:
    """Which versions and aliases in the directory of an artifact show what nobody has put."""
    wrong = []
    for name in _names(artifact):
        files, is_all = _content(artifact / name)
        is_alias = _NUMBER.fullmatch(name) is None
        if not any(
            # An alias may move, and a version may be deleted, between one file and the next.
            files.items() <= tree(number).items()
            and (len(files) == len(tree(number)) or not is_all or is_alias)
            for number in range(CONTENTS)
        ) and not (is_alias and _are_known(files)):
            shown = {path: len(data) for path, data in files.items()}
            wrong.append(f"{artifact.name}/{name} was read as {shown}: nobody put that")
    return wrong


def _are_known(files: dict[str, bytes]) -> bool:
    """Whether each of them is whole, of whatever version."""
    return all(
        any(tree(number).get(path) == data for number in range(CONTENTS))
        for path, data in files.items()
    )


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names alone
    except OSError:
        return []


def _content(root: Path) -> tuple[dict[str, bytes], bool]:
    """What can be read below a directory, and whether that is all."""
    found: dict[str, bytes] = {}
    failures: list[OSError] = []
    for directory, _, names in os.walk(root, onerror=failures.append):
        for name in names:
            path = Path(directory, name)
            try:
                found[str(path.relative_to(root))] = path.read_bytes()
            except OSError as failure:
                failures.append(failure)
    return found, not failures


def end_mounts(root: Path) -> None:
    """End what killed processes have left mounted below a directory."""
    for each in mounted_file_systems():
        if Path(each.mountpoint).is_relative_to(root):
            subprocess.run(["fusermount3", "-uz", each.mountpoint], check=False)
