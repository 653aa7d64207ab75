"""Why the system refuses to mount, and the cure: one table, for mounts that fail and for doctor."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

UPDATEDB_CONF = Path("/etc/updatedb.conf")
FILE_SYSTEM_TYPE = "fuse.artfs"

_PRUNED_TYPES = re.compile(r'^\s*PRUNEFS\s*=\s*"([^"]*)"', re.MULTILINE)

FUSE_DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
_STATUS = Path("/proc/self/status")
_CAP_SYS_ADMIN = 1 << 21
_FUSE_NUMBER = os.makedev(10, 229)
"""Linux's (Documentation/admin-guide/devices.txt)."""
_LOAD = "load the kernel module: `modprobe fuse` as root; a container needs `--device /dev/fuse`"
_PRIVILEGES = "a container needs `--cap-add SYS_ADMIN`, and `--security-opt apparmor=unconfined`"
# What libfuse, fusermount3 and, through them, the kernel say. The first that fits decides.
_SAID: tuple[tuple[str, str, str, str], ...] = (
    (
        r"user_allow_other",
        "-o allow_other",
        "the system does not allow it",
        f"root can write user_allow_other into {FUSE_CONF}",
    ),
    (
        r"too many FUSE filesystems mounted",
        "",
        "this system allows no more FUSE mounts",
        f"end some, or root can raise mount_max in {FUSE_CONF}",
    ),
    (
        r"user has no write access to mountpoint",
        "",
        "you may not write there, so you may not mount there",
        "mount on a directory of your own",
    ),
    (
        r"mountpoint .* not owned by user",
        "",
        "the directory is not yours",
        "mount on a directory of your own",
    ),
    (
        r"mounting over filesystem type (\S+) is forbidden",
        "",
        "FUSE does not mount upon a file system of this kind",
        "mount on a directory of an ordinary file system",
    ),
    (
        r"failed to open .*: Permission denied",
        str(FUSE_DEVICE),
        "you may not open it",
        "root can allow it: `chmod 666 /dev/fuse`, or a udev rule with MODE=0666 for good",
    ),
    (
        r"failed to open .*: Operation not permitted",
        str(FUSE_DEVICE),
        "this container may not open it",
        "start the container with `--device /dev/fuse`",
    ),
    (r"device not found|No such device", str(FUSE_DEVICE), "there is no FUSE in the kernel", _LOAD),
    (
        r"bad mount point .*: Transport endpoint is not connected",
        "",
        "it is inside a mount whose process is gone",
        "`artfs umount`, or `fusermount3 -u`, of that one",
    ),
    (
        r"bad mount point .*: Permission denied",
        "",
        "it cannot be reached with your rights",
        "mount on a directory that you can reach, not inside a FUSE mount of another user",
    ),
    (
        r"could not determine username",
        "",
        "fusermount3 finds no name for your uid",
        "root can add one to /etc/passwd",
    ),
    (r"No space left on device", "", "the kernel allows no more mounts", "see fs.mount-max"),
)


def is_crawled(conf: Path = UPDATEDB_CONF) -> bool:
    """Whether updatedb(8), where it is installed, reads the names of all versions of all mounts.

    It sees those that its user may look into: mounts of root, and with `-o allow_other`.
    """
    try:
        text = conf.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    found = _PRUNED_TYPES.findall(text)
    # The last one counts, and letters may be of either case.
    return not found or FILE_SYSTEM_TYPE not in found[-1].lower().split()


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing can be mounted, and what to do."""

    subject: str
    """What it is about; empty: the mountpoint."""
    reason: str
    hint: str


_NOT_FUSE = Refusal(
    str(FUSE_DEVICE),
    "is not the device of FUSE",
    "root can make it: `rm /dev/fuse; mknod -m 666 /dev/fuse c 10 229`; "
    "a container needs `--device /dev/fuse`",
)


def explain(said: str) -> Refusal:
    """What was said about a mount that failed, in plain words and with the cure."""
    lines = [re.sub(r"^(fuse|fusermount3): ", "", line) for line in said.split("\n") if line]
    for pattern, subject, reason, hint in _SAID:
        if re.search(pattern, said):
            return Refusal(subject, reason, hint)
    if "Operation not permitted" in said:
        for problem in _problems_of_rights():
            return msgspec.structs.replace(problem, subject="")
        return Refusal("", "the system does not let you mount", _PRIVILEGES)
    if "Invalid argument" in said and not _is_fuse_device():
        return _NOT_FUSE
    return Refusal("", f"mounting failed: {'; '.join(lines) or 'no reason was told'}", "")


def problems() -> Iterator[Refusal]:
    """What on this machine keeps this user from mounting anything."""
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
        if not _is_fuse_device():
            yield _NOT_FUSE
    except FileNotFoundError:
        yield Refusal(str(FUSE_DEVICE), "there is no such device", _LOAD)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.ENODEV, errno.ENXIO}:
            text = "No such device" if error.errno == errno.ENXIO else error.strerror
            yield explain(f"failed to open {FUSE_DEVICE}: {text}")
        else:
            yield Refusal(str(FUSE_DEVICE), f"cannot be opened ({error.strerror})", _LOAD)
    if shutil.which("fusermount3") is None:
        yield Refusal("fusermount3", "not installed", "install the package fuse3")
    else:
        yield from _problems_of_rights()


def _is_fuse_device() -> bool:
    """Raises: OSError."""
    found = FUSE_DEVICE.stat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _FUSE_NUMBER


def allows_others() -> bool:
    """Whether users other than root may mount with `allow_other`."""
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return "user_allow_other" in {line.strip() for line in lines}


def _problems_of_rights() -> Iterator[Refusal]:
    """Why mount(2) answers EPERM: to root itself, or to fusermount3 on behalf of a user."""
    status = _status()
    if os.geteuid() == 0:
        if not int(status.get("CapEff", "0"), 16) & _CAP_SYS_ADMIN:
            yield Refusal("root", "may not mount here (no CAP_SYS_ADMIN)", _PRIVILEGES)
        return
    if status.get("NoNewPrivs") == "1":
        yield Refusal(
            "fusermount3",
            "gets no rights from this process (no_new_privs)",
            "start it outside of the sandbox; Kubernetes: allowPrivilegeEscalation, "
            "systemd: NoNewPrivileges=no",
        )
    found = shutil.which("fusermount3")
    with suppress(OSError):
        if found is not None and not _has_rights(Path(found).resolve()):
            yield Refusal(
                "fusermount3",
                "has no right to mount for you",
                f"root can give it: `chmod u+s {found}`",
            )


def _has_rights(program: Path) -> bool:
    if program.stat().st_mode & stat.S_ISUID:
        return True
    return "security.capability" in os.listxattr(program)


def _status() -> dict[str, str]:
    """What /proc says of the rights of this process."""
    found = {}
    with suppress(OSError):
        for line in _STATUS.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found
