"""Other mount namespaces for tests, made by whoever runs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNSHARE = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "-m", "--propagation", "private"]
"""Runs a command in a mount namespace of its own, which gets a copy of all that is mounted."""

LET_GO = """
grep -F ' fuse.artfs ' /proc/self/mounts | cut -d ' ' -f 2 | while read -r place; do
    case "$(printf %b "$place")" in "$KEPT"*) ;; *) umount -l "$(printf %b "$place")" ;; esac
done
"""
"""For the beginning of a script in it: lets go of mounts of other tests, which run meanwhile, but
for those at and below $KEPT.
"""


@contextmanager
def holding(
    place: Path, *, cwd: Path = Path("/"), command: str = "exec sleep 600"
) -> Iterator[int]:
    """A process in a mount namespace of its own, which holds the mount at `place`; its pid."""
    script = f"{LET_GO}\necho ready; {command}"
    process = subprocess.Popen(
        [*UNSHARE, "env", f"KEPT={place}", "sh", "-c", script],
        cwd=cwd,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def seen_by(pid: int, path: Path) -> str:
    """What `ls` says of a path in the mount namespace of another process: names, or why not."""
    user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
    command = ["nsenter", "-t", str(pid), *user, "-m", "ls", str(path)]
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout + done.stderr
