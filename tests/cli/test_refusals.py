"""Why the system refuses to mount is said, with the right cure, by `mount` and by `doctor`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from artfs.mounts.daemons import daemons
from tests.cli.conftest import Cli
from tests.support.namespaces import LET_GO
from tests.support.privileges import as_user, needs_root, python_of

UID = 65534
"""nobody: fusermount3 mounts for nobody whom the system does not know."""

_ALONE = f"KEPT=/nowhere; {LET_GO.strip()}"
DEVICE = f"""{LET_GO}
[ -e "$DIR/fuse" ] || mknod "$DIR/fuse" c 10 229
chmod "$FUSE_MODE" "$DIR/fuse"; mount --bind "$DIR/fuse" /dev/fuse
printf '%s\\n' "$FUSE_CONF" > "$DIR/fuse.conf"; chmod 644 "$DIR/fuse.conf"
mount --bind "$DIR/fuse.conf" /etc/fuse.conf
exec "$@"
"""
VARIABLES = (
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
)


class Machine:
    """A machine where FUSE is set up as a test wants it: a mount namespace of its own."""

    def __init__(self, cli: Cli, directory: Path) -> None:
        self.cli = cli
        self.directory = directory
        self.mode = "666"
        self.conf = ""
        self.place = directory / "mnt"
        self.place.mkdir()
        os.chown(self.place, UID, UID)

    def run(
        self, *arguments: str, user: bool = True, prefix: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """`artfs` on this machine, as a user or as root."""
        command = [*self.cli.command()[:-2], "-m", "artfs", *arguments]
        home = self.directory / ("user" if user else "root")
        home.mkdir(exist_ok=True)
        if user:
            os.chown(home, UID, UID)
            command = as_user([*prefix, *python_of(UID), "-m", "artfs", *arguments], uid=UID)
        else:
            command = [*prefix, *(command if arguments else [])]
        environment = {
            name: value
            for name, value in self.cli.environment.items()
            if (not name.startswith("XDG_") and name != "PYTHONPATH") or not user
        } | {
            "HOME": str(home),
            "ARTFS_STORE": str(self.directory / "store"),
            "XDG_RUNTIME_DIR": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "DIR": str(self.directory),
            "KEPT": "/nowhere",
            "FUSE_MODE": self.mode,
            "FUSE_CONF": self.conf,
        }
        return subprocess.run(
            ["unshare", "-m", "--propagation", "private", "sh", "-ec", DEVICE, "sh", *command],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def refuses(self, *says: str, user: bool = True, options: Sequence[str] = ()) -> None:
        """Mounting fails with one line that says all of these."""
        done = self.run("mount", *options, str(self.place), user=user)
        assert done.returncode == 13, done
        assert done.stderr.count("\n") == 1
        for text in says:
            assert text in done.stderr


@pytest.fixture
def machine(filled: Cli) -> Iterator[Machine]:
    # Where other users can get to, unlike pytest's own directories.
    directory = Path(tempfile.mkdtemp(prefix="artfs-"))
    directory.chmod(0o755)
    shutil.copytree(filled.store, directory / "store", symlinks=True)
    subprocess.run(["chown", "-R", f"{UID}:{UID}", str(directory / "store")], check=True)
    yield Machine(filled, directory)
    for daemon in daemons():
        if daemon.record.mountpoint.is_relative_to(directory):
            # In a mount namespace that it alone keeps.
            filled.run("umount", "--force", daemon.record.mountpoint)
    shutil.rmtree(directory)


@needs_root
def test_a_device_that_one_may_not_open_is_said_so(machine: Machine) -> None:
    machine.mode = "600"
    machine.refuses("/dev/fuse", "you may not open it", "chmod 666 /dev/fuse")
    doctor = machine.run("doctor")
    assert doctor.returncode == 13
    assert "/dev/fuse: you may not open it: root can allow it: `chmod 666" in doctor.stdout
    assert "modprobe" not in doctor.stdout


@needs_root
def test_an_option_that_the_system_does_not_allow_is_said_so(machine: Machine) -> None:
    machine.refuses("-o allow_other", "user_allow_other", options=["-o", "allow_other"])
    machine.conf = "user_allow_other"
    assert machine.run("mount", "-o", "allow_other", str(machine.place)).returncode == 0


@needs_root
@pytest.mark.parametrize(
    ("mode", "says"), [(0o755, "you may not write there"), (0o1777, "the directory is not yours")]
)
def test_a_directory_that_one_may_not_mount_on_is_said_so(
    machine: Machine, mode: int, says: str
) -> None:
    os.chown(machine.place, 0, 0)
    machine.place.chmod(mode)
    machine.refuses(says, "a directory of your own")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may mount anywhere")
def test_a_directory_that_an_ordinary_user_may_not_write_to_is_said_so(filled: Cli) -> None:
    place = filled.directory / "mnt"
    place.mkdir(mode=0o555)
    filled.fails(13, "mount", place, says=["you may not write there", "a directory of your own"])


@needs_root
def test_a_limit_of_mounts_is_said_so(machine: Machine) -> None:
    machine.conf = "mount_max = 0"
    machine.refuses("no more FUSE mounts", "mount_max in /etc/fuse.conf")


@needs_root
@pytest.mark.parametrize(
    ("user", "prefix", "says"),
    [
        (False, ["setpriv", "--bounding-set", "-sys_admin"], "no CAP_SYS_ADMIN"),
        (True, ["setpriv", "--no-new-privs"], "no_new_privs"),
    ],
)
def test_rights_that_are_missing_are_said_so_by_mount_and_doctor(
    machine: Machine, *, user: bool, prefix: list[str], says: str
) -> None:
    for command in (["mount", str(machine.place)], ["doctor"]):
        done = machine.run(*command, user=user, prefix=prefix)
        assert done.returncode == 13, done
        assert says in done.stdout + done.stderr


@needs_root
def test_a_user_whom_the_system_does_not_know_is_said_so(machine: Machine) -> None:
    os.chown(machine.place, 12345, 12345)
    store = machine.directory / "store"
    for path in (store, *store.rglob("*")):
        os.chown(path, 12345, 12345)
    command = [*python_of(12345), "-m", "artfs", "mount", str(machine.place)]
    home = machine.directory / "unknown"
    home.mkdir()
    os.chown(home, 12345, 12345)
    variables = [f"{name}={home}" for name in VARIABLES]
    prefix = ["env", *variables, *as_user(command, uid=12345)]
    done = machine.run(user=False, prefix=prefix)
    assert done.returncode == 13, done
    assert "no name for your uid" in done.stderr


@needs_root
def test_a_device_that_is_missing_is_said_so(filled: Cli) -> None:
    place = filled.directory / "mnt"
    place.mkdir()
    script = f'{_ALONE}; mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; exec "$@"'
    filled.prefix = ["unshare", "-m", "--propagation", "private", "sh", "-ec", script, "sh"]
    filled.fails(13, "mount", place, says=["/dev/fuse", "no such device", "modprobe fuse"])
    assert "/dev/fuse: there is no such device" in filled.run("doctor").out


@needs_root
@pytest.mark.parametrize(
    "instead",
    ["touch $DIR/plain; mount --bind $DIR/plain /dev/fuse", "mount --bind /dev/null /dev/fuse"],
)
def test_a_device_that_is_another_one_is_said_so(instead: str, filled: Cli) -> None:
    place = filled.directory / "mnt"
    place.mkdir()
    filled.environment["DIR"] = str(filled.directory)
    script = f'{_ALONE}; {instead}; exec "$@"'
    filled.prefix = ["unshare", "-m", "--propagation", "private", "sh", "-ec", script, "sh"]
    filled.fails(13, "mount", place, says=["/dev/fuse", "is not the device of FUSE", "mknod"])
    assert "/dev/fuse: is not the device of FUSE" in filled.run("doctor").out


@needs_root
def test_a_mountpoint_inside_another_user_s_mount_is_said_so(machine: Machine) -> None:
    home = machine.directory / "user"
    home.mkdir()
    os.chown(home, UID, UID)
    variables = [f"{name}={home}" for name in VARIABLES]
    command = ["env", *variables, *python_of(UID), "-m", "artfs", "stage", "p/q"]
    script = f'{" ".join(as_user(command, uid=UID))} "$0" && exec "$@"'
    inside = str(machine.place / "inside")
    prefix = ["sh", "-ec", script, str(machine.place)]
    done = machine.run("mount", inside, user=False, prefix=prefix)
    assert done.returncode == 13, done
    assert f"inside the FUSE mount at {machine.place}" in done.stderr
