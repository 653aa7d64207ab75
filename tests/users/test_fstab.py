"""Lines of /etc/fstab, as an ordinary user and as root mount and unmount them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.namespaces import LET_GO
from tests.support.people import People

_NEEDED = tuple(dict.fromkeys((sys.base_prefix, sys.prefix, str(Path(__file__).parents[2]))))

# With the helpers in /sbin, where users reach Python and may open /dev/fuse.
_MACHINE = f"""
KEPT=/nowhere
{LET_GO}
root=$1 uid=$2 at=$3/at
cd "$root" || exit 9
mkdir over
mount -t tmpfs tmpfs over
mkdir over/upper over/work
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=over/upper,workdir=over/work" /usr/sbin
cp machine/sbin/* /usr/sbin/
number=0
for place in $NEEDED; do
    mkdir over/$((number += 1))
    mount --bind "$place" over/$number
done
for place in $BARRED; do
    mount -t tmpfs -o mode=755 tmpfs "$place"
done
number=0
for place in $NEEDED; do
    number=$((number + 1))
    test -e "$place" || {{ mkdir -p "$place"; mount --bind over/$number "$place"; }}
done
mknod -m 666 over/fuse c 10 229
mount --bind over/fuse /dev/fuse
(cat /etc/passwd; echo "someone:x:$uid:$uid::$3:/bin/sh") > over/passwd
mount --bind over/passwd /etc/passwd
mkdir -p /run/mount
mount -t tmpfs tmpfs /run/mount
touch over/fstab
mount --bind over/fstab /etc/fstab
someone() {{ setpriv --reuid="$uid" --regid="$uid" --clear-groups env "HOME=$3" "$@"; }}
line() {{ echo "$root/store#demo/data $at artfs $1 0 0" > over/fstab; }}
# What a command says, and how it ends.
told() {{ "$@" 2>&1; echo "= $?"; }}
mounts() {{ grep -c " $at " /proc/self/mountinfo; }}
"""


_NOT_YOURS = "you may not write there, so you may not mount there: mount on a directory of your own"

_NOT_SHARED = (
    "ROOT/store: you may not look into this store: its owner lets the members of a group in with "
    "`artfs init --group GROUP`"
)


def _walked(people: People, script: str) -> list[str]:
    """What a script says on a machine of its own, with a store and somebody's empty directory."""
    root, someone = people.superuser(), people.person(0)
    (people.root / "data").mkdir()
    (people.root / "data" / "new.txt").write_text("new\n")
    root.does("put", str(people.root / "data"), "--name", "demo/data", "--type", "dataset",
              "--store", str(people.root / "store"))  # fmt: skip
    subprocess.run(["chmod", "-R", "a+rX", people.root / "store"], check=True)
    root.does("install", "--root", str(people.root / "machine"))
    place = someone.home / "at"
    place.mkdir()
    os.chown(place, someone.uid, someone.gid)
    above = [each for path in _NEEDED for each in (Path(path), *Path(path).parents)]
    barred = {str(each) for each in above if each.stat().st_mode & 0o001 == 0}
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", _MACHINE + script, "bash",
         people.root, str(someone.uid), someone.home],
        env={
            "PATH": os.environ["PATH"],
            "NEEDED": "\n".join(_NEEDED),
            "BARRED": "\n".join(sorted(barred)),
            "PYTHONPATH": _NEEDED[-1],
            "XDG_STATE_HOME": "",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.replace(str(place), "AT").replace(str(people.root), "ROOT").splitlines()


def test_a_line_with_user_is_mounted_and_unmounted_by_an_ordinary_user(people: People) -> None:
    said = _walked(
        people,
        """
line ro,noauto,user
told mount -a
told someone mount "$at"
told someone cat "$at/v0/new.txt"
told someone mount "$at"
told someone umount "$at"
mounts
chown 0 "$at"
told someone mount "$at"
chmod 700 store
chown "$uid" "$at"
told someone mount "$at"
mounts
exit 0
""",
    )
    assert said == [
        *("= 0", "= 0", "new", "= 0"),
        "mount.artfs: AT: already mounted (demo/data of ROOT/store): `artfs umount AT` ends it",
        *("= 32", "= 0", "0"),
        f"mount.artfs: AT: {_NOT_YOURS}",
        "= 32",
        f"mount.artfs: {_NOT_SHARED}",
        *("= 32", "0"),
    ]


def test_what_root_mounted_by_a_line_is_known_to_mount_by_that_line(people: People) -> None:
    said = _walked(
        people,
        """
line ro,nofail
told mount -a
told mount -a
told cat "$at/v0/new.txt"
told someone umount "$at"
told umount "$at"
line ro,noauto,users,allow_other
told mount "$at"
told someone cat "$at/v0/new.txt"
told someone umount "$at"
mounts
exit 0
""",
    )
    refused = said.pop(4)
    assert refused.startswith("umount: AT: must be superuser to unmount")
    assert said == ["= 0", "= 0", "new", "= 0", "= 32", "= 0", "= 0", "new", "= 0", "= 0", "0"]


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be several users")
