"""`mount.artfs`: what mount(8) runs for `mount -t artfs` and for lines of /etc/fstab.

    mount.artfs SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]

SOURCE is a store, or STORE#TARGET as `artfs copy` has it. It ends with 0, with 1 for a wrong
command line, or with 32 where nothing was mounted, as mount(8) says.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

from artfs.cli.output import print_note, single_line
from artfs.credentials import shown
from artfs.errors import ArtfsError, InvalidArgument

USAGE_EXIT_CODE = 1
FAILED_EXIT_CODE = 32
_OF_MOUNT = frozenset(
    [
        "async",
        "atime",
        "auto",
        "defaults",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "group",
        "iversion",
        "lazytime",
        "loud",
        "mand",
        "nofail",
        "noauto",
        "nodiratime",
        "noexec",
        "nogroup",
        "noiversion",
        "nolazytime",
        "nomand",
        "noowner",
        "norelatime",
        "nostrictatime",
        "nouser",
        "nousers",
        "owner",
        "relatime",
        "rw",
        "silent",
        "strictatime",
        "suid",
        "sync",
        "user",
        "users",
        "_netdev",
        "_rnetdev",
    ]
)
"""What mount(8), systemd or the kernel understand: of no meaning to who is mounted."""
_PLAIN = re.compile(r"[/\w.:@#+~=%?&-]{1,1000}")
_WITH_VALUES = ("x-", "X-", "comment=", "user=", "fsname=", "subtype=", "helper=", "context")


def main() -> NoReturn:
    """Mount what the command line of mount(8) says."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Mount, and return an exit code of mount(8)."""
    try:
        given, (source, place) = getopt.gnu_getopt(arguments, "sfnvhN:o:t:")
    except (getopt.GetoptError, ValueError) as error:
        wrong = error if isinstance(error, getopt.GetoptError) else "expected SOURCE MOUNTPOINT"
        print_note(f"mount.artfs: {wrong}: it is run by mount(8): `mount -t artfs STORE DIRECTORY`")
        return USAGE_EXIT_CODE
    flags = {name for name, _ in given}
    options = [value for name, value in given if name == "-o"]
    try:
        _mount(source, place, options, is_sloppy="-s" in flags, is_fake="-f" in flags)
    except (ArtfsError, OSError) as error:
        print_note(f"mount.artfs: {single_line(shown(str(error)))}")
        return FAILED_EXIT_CODE
    return 0


def _mount(source: str, place: str, options: list[str], *, is_sloppy: bool, is_fake: bool) -> None:
    """Raises: ArtfsError, OSError."""
    from artfs.cli.stores_named import parse_place  # noqa: PLC0415 - after the command line
    from artfs.mounts import client  # noqa: PLC0415 - as above
    from artfs.mounts.messages import MountRequest  # noqa: PLC0415 - as above
    from artfs.settings import is_url, store_location  # noqa: PLC0415 - as above

    # At boot there is no such thing as a configured store: it is always named.
    named = parse_place(source)
    if named.store is None and not is_url(source):
        raise InvalidArgument(source, "is no store", hint="write /DIRECTORY, URL or STORE#TARGET")
    request = MountRequest(
        store=store_location(named.store),
        target=named.names or None,
        mountpoint=Path(place),
        options=client.parse_options(_ours(options, is_sloppy=is_sloppy)),
        source=_told(source),
    )
    if is_fake:
        return
    # mount(8) and systemd start us in places of theirs, which nobody should keep in use.
    os.chdir("/")
    client.start(request)


def _told(source: str) -> str | None:
    """What mount(8) knows the mount by, in a second `mount -a` and for `users`; None for secrets.

    What separates options is left out as well.
    """
    return source if _PLAIN.fullmatch(source) and shown(source) == source else None


def _ours(options: list[str], *, is_sloppy: bool) -> list[str]:
    """What of the options is about artfs."""
    from artfs.mounts.options import is_known_option  # noqa: PLC0415 - after the command line

    found = [item for text in options for item in text.split(",") if item]
    found = [item for item in found if item not in _OF_MOUNT and not item.startswith(_WITH_VALUES)]
    return [item for item in found if not is_sloppy or is_known_option(item)]


if __name__ == "__main__":
    main()
