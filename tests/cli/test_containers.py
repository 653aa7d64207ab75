"""What docs/operations.md says of containers, with namespaces of the kernel and no cluster."""

from __future__ import annotations

import subprocess

from tests.cli.conftest import Cli
from tests.support.namespaces import LET_GO
from tests.support.privileges import needs_root

# A volume that the host shares (`Bidirectional`), a pod that gets what is mounted there
# (`HostToContainer`) and has no rights, and a sidecar that has CAP_SYS_ADMIN and nothing else.
_POD = f"""set -e
KEPT=/nowhere
{LET_GO}
mount -t tmpfs tmpfs /mnt
mount --make-shared /mnt
mkdir /mnt/data
place=/mnt/data
exec 3< <(unshare -m --propagation slave sh -c 'echo $$; exec sleep 600')
read -r pod <&3
trap 'kill $pod' EXIT
sidecar="unshare -m --propagation unchanged setpriv --bounding-set=-all,+sys_admin --inh-caps=-all"
reader="nsenter -t $pod -m setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs
    --bounding-set=-all"
mounting() {{ $sidecar "$@" mount -o allow_other --json demo/data:latest $place; }}
pid_in() {{ sed -n 's/^ *"pid": \\([0-9]*\\),*$/\\1/p'; }}
pid=$(mounting "$@" | pid_in)
$reader cat $place/new.txt
$PYTHON -c 'import os, select, sys
process = os.pidfd_open(int(sys.argv[1]))
os.kill(int(sys.argv[1]), 9)
select.select([process], [], [])' "$pid"
$reader stat -f $place && exit 9
mkdir -p $place
pid=$(mounting "$@" | pid_in)
$reader cat $place/new.txt
$reader stat -f $place >/dev/null
"$@" umount $place
$reader ls $place
"""


@needs_root
def test_a_sidecar_with_one_capability_mounts_for_a_pod_that_has_none_and_comes_back(
    filled: Cli,
) -> None:
    command = filled.command()
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "bash", "-c", _POD, "bash", *command],
        env=filled.environment | {"PYTHON": command[0]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "new\nnew\n/mnt/data is unmounted\n"), done
    assert "Transport endpoint is not connected" in done.stderr
