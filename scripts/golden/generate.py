"""Write the golden values of wandb 0.15.0 to tests/golden.

Run it with the Python of a virtual environment that holds the real wandb (scripts/golden/run makes
one). Two runs give the same bytes, whatever PYTHONHASHSEED is.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import gzip
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import capture
import trees

REPOSITORY = Path(__file__).resolve().parents[2]
OUTPUT = REPOSITORY / "tests" / "golden"
# The path is part of the refs of file:// cases; the fixtures write {root} in its place.
ROOT = Path("/tmp/artfs-golden")
FULL_TEXT_EVERY = 20
PACKAGES = ("wandb", "numpy", "pillow", "pandas", "soundfile", "matplotlib")


def main() -> None:
    """Generate everything, or only the groups that are named on the command line."""
    wandb = _wandb()
    groups = set(sys.argv[1:])
    if not groups or "trees" in groups:
        _write_trees(wandb)
    _write_values(wandb, groups)
    shutil.rmtree(ROOT, ignore_errors=True)


def _wandb() -> Any:
    """Import wandb so that it neither talks to a server nor writes into the home directory."""
    home = tempfile.mkdtemp(prefix="artfs-golden-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {"WANDB_MODE": "offline", "WANDB_DATA_DIR": home, "WANDB_CACHE_DIR": home}
    os.environ |= {"WANDB_CONFIG_DIR": home, "MPLBACKEND": "Agg", "MPLCONFIGDIR": home}
    module: Any = importlib.import_module("wandb")
    if module.__version__ != "0.15.0":
        raise SystemExit(f"this needs wandb 0.15.0, not {module.__version__}")
    return module


def _fresh(name: str) -> Path:
    """Return a directory of its own for one case; it does not exist yet."""
    root = ROOT / name
    shutil.rmtree(root, ignore_errors=True)
    return root


def _write_trees(wandb: Any) -> None:
    """Write digests.json.gz: recipes and results of the random trees."""
    cases = [_tree(wandb, number) for number in range(trees.COUNT)]
    document = {
        "note": "content is base64, or random.Random(seed).randbytes(size); see trees.py",
        "wandb": wandb.__version__,
        "cases": cases,
    }
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    # mtime=0: the gzip header must not say when it was written.
    (OUTPUT / "digests.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    print(f"digests.json.gz: {len(cases)} trees")


def _tree(wandb: Any, number: int) -> dict[str, Any]:
    """Build one tree, add it, and return the recipe with what came of it."""
    recipe = trees.tree(number)
    root = _fresh("tree")
    trees.build(recipe, root)
    artifact = wandb.Artifact("golden", type="dataset")
    with contextlib.redirect_stderr(io.StringIO()):
        trees.add(recipe, root, artifact)
    text = capture.manifest_text(artifact)
    entries = artifact.manifest.entries
    expected: dict[str, Any] = {
        "digest": artifact.digest,
        "entries": {path: [e.digest, e.size] for path, e in entries.items()},
        "manifest_sha256": capture.sha256(text.encode()),
    }
    if number % FULL_TEXT_EVERY == 0:
        expected["manifest"] = text
    return {**recipe, "expected": expected}


def _write_values(wandb: Any, groups: set[str]) -> None:
    """Write values/GROUP.json for every group of cases."""
    sys.path.insert(0, str(OUTPUT))
    cases = importlib.import_module("cases").CASES
    (OUTPUT / "values").mkdir(exist_ok=True)
    records: dict[str, dict[str, Any]] = {}
    for case in cases.values():
        if not groups or case.group in groups:
            records.setdefault(case.group, {})[case.name] = _run(wandb, case)
    for group, each in sorted(records.items()):
        _write_group(group, {"versions": _versions(), "cases": each})


def _write_group(group: str, document: dict[str, Any]) -> None:
    """Write one fixture file, compressed where it is large."""
    text = json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    path = OUTPUT / "values" / f"{group}.json"
    packed = path.with_suffix(".json.gz")
    path.unlink(missing_ok=True)
    packed.unlink(missing_ok=True)
    if len(text) > 1_000_000:
        packed.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    else:
        path.write_text(text)
    print(f"{group}: {len(document['cases'])} cases, {len(text)} bytes")


def _run(wandb: Any, case: Any) -> dict[str, Any]:
    """Carry out one case and return its record."""
    root = _fresh(case.name)
    root.mkdir(parents=True)
    noise = io.StringIO()
    with contextlib.redirect_stderr(noise):
        record = {"kind": case.kind} | _outcome(wandb, case, root)
    warnings = [line for line in noise.getvalue().splitlines() if "WARNING" in line]
    if warnings:
        record["warnings"] = capture.placeholder(warnings, root)
    gc.collect()
    shutil.rmtree(root)
    return record


def _outcome(wandb: Any, case: Any, root: Path) -> dict[str, Any]:
    """Return the artifact, the fact or the exception that the recipe gives."""
    try:
        result = case.recipe(wandb, root)
        if case.kind == "value":
            return capture.artifact_record(result, root)
    # Whatever wandb raises is the golden value of that case.
    except Exception as error:  # noqa: BLE001
        return capture.error_record(error, root)
    if case.kind == "error":
        raise SystemExit(f"{case.name} was expected to raise")
    return {"value": capture.placeholder(result, root)}


def _versions() -> dict[str, str]:
    """Return the versions of the packages that shape encoded files."""
    metadata = importlib.import_module("importlib.metadata")
    return {name: metadata.version(name) for name in PACKAGES}


if __name__ == "__main__":
    main()
