"""Say what a mount fetched and served, and what the store holds, from what `artfs status` says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from artfs.cli.output import format_size, plural


def main() -> None:
    mount, status = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    counters, store = mount["counters"], status["store"]
    print()
    print(
        f"fetched  {format_size(counters['bytes_loaded'])} from the store, "
        f"each of {plural(counters['blocks_loaded'], 'block')} verified"
    )
    print(
        f"read     {format_size(counters['bytes_served'])} through the mount in "
        f"{plural(counters['reads'], 'read')} and {plural(counters['opens'], 'open')}; "
        "the kernel kept the rest"
    )
    print(
        f"stored   {plural(store['versions'], 'version')} in {plural(store['packs'], 'pack')} of "
        f"{format_size(store['pack_bytes'])}, {plural(store['blobs'], 'blob')}; "
        "what versions share is stored once"
    )


if __name__ == "__main__":
    main()
