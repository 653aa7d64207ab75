"""What a store and mounts tell Prometheus; the names are documented (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from artfs.catalog.records import StoreTotals
from artfs.mounts.messages import Counters, MountState, MountStatus
from artfs.system.prometheus import Metric, Sample

_TOTALS = {
    "projects": "Projects of the store.",
    "artifacts": "Artifacts and portfolios of the store.",
    "versions": "Versions of the store.",
    "blobs": "Contents that the store holds.",
    "blob_bytes": "Bytes of these contents.",
    "packs": "Packs, which hold small contents.",
    "pack_bytes": "Bytes of the packs.",
}
_COUNTED = {
    "lookups": ("lookups_total", "Names that were looked up."),
    "listings": ("listings_total", "Requests for a part of a directory."),
    "opens": ("opens_total", "Files that were opened."),
    "reads": ("reads_total", "Requests to read."),
    "bytes_served": ("served_bytes_total", "Bytes that were sent to the kernel."),
    "blocks_loaded": ("loaded_blocks_total", "Blocks that were read and verified."),
    "bytes_loaded": ("loaded_bytes_total", "Bytes that were read and verified."),
    "errors": ("errors_total", "Answers that were an error."),
}
_HELD = {
    "open_files": ("open_files", "Files that are open now."),
    "bytes_buffered": ("buffered_bytes", "Bytes that are held in memory now."),
}


def store_metrics(totals: StoreTotals, *, store: str) -> list[Metric]:
    """What a store holds."""
    labels = {"store": store}
    found = msgspec.structs.asdict(totals)
    return [
        Metric(f"artfs_store_{name}", "gauge", text, [Sample(found[name], labels)])
        for name, text in _TOTALS.items()
    ]


def mount_metrics(mounts: Sequence[MountStatus]) -> list[Metric]:
    """What mounts did since they were made, and whether they answer."""
    up = [Sample(int(each.state is MountState.MOUNTED), _labels(each)) for each in mounts]
    started = [
        Sample(each.started_at_s, _labels(each)) for each in mounts if each.started_at_s is not None
    ]
    made = [
        Metric("artfs_mount_up", "gauge", "Whether the mount answers.", up),
        Metric(
            "artfs_mount_start_time_seconds", "gauge", "When it was mounted, since 1970.", started
        ),
    ]
    asked = [(each.counters, _labels(each)) for each in mounts if each.counters is not None]
    for kind, names in (("counter", _COUNTED), ("gauge", _HELD)):
        for field, (name, text) in names.items():
            samples = [Sample(_count(counters, field), labels) for counters, labels in asked]
            made.append(Metric(f"artfs_mount_{name}", kind, text, samples))
    return made


def _count(counters: Counters, field: str) -> int:
    found: int = getattr(counters, field)
    return found


def _labels(status: MountStatus) -> dict[str, str]:
    return {
        "mountpoint": str(status.mountpoint),
        "kind": status.kind,
        "target": status.target or "",
    }
