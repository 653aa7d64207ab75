"""Turn what wandb did into fixtures: manifests, stored files, exceptions, warnings."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

TEXT_LIMIT = 16 * 1024
# Names that wandb makes of a digest of what an encoder wrote: they change with its version.
ENCODED = re.compile(r"(^|/)[0-9a-f]{20}\.(png|mask\.png|npz|wav|gif|mp4)$")
TEMPORARY = re.compile(r"/tmp/tmp\w+")
# The default repr of an object: its module and address are nobody's contract.
OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")


def sha256(content: bytes) -> str:
    """Return the hex digest that all fixtures use for content they do not hold."""
    return hashlib.sha256(content).hexdigest()


def manifest_text(artifact: Any) -> str:
    """Return `wandb_manifest.json` as wandb writes it: `json.dump` with an indent of 4."""
    return json.dumps(artifact.manifest.to_manifest_json(), indent=4)


def artifact_record(artifact: Any, root: Path) -> dict[str, Any]:
    """Return all that a test can compare of a finished draft."""
    document = placeholder(artifact.manifest.to_manifest_json(), root)
    text = json.dumps(document, indent=4)
    entries = artifact.manifest.entries.values()
    stored = sorted((e.path, Path(e.local_path)) for e in entries if e.local_path)
    record: dict[str, Any] = {
        "digest": artifact.digest,
        "size": artifact.size,
        "manifest_sha256": sha256(text.encode()),
        "contents": document["contents"],
        "files": {path: file_record(local) for path, local in stored},
    }
    encoded = [path for path, _ in stored if ENCODED.search(path)]
    if encoded:
        record["encoder_dependent"] = encoded
        for path in encoded:
            record["files"][path] |= decoded(path, dict(stored)[path])
    return record


def file_record(path: Path) -> dict[str, Any]:
    """Return a stored file's text where it is short text, else its hash."""
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"sha256": sha256(content)}
    if len(content) > TEXT_LIMIT or "\x00" in text:
        return {"sha256": sha256(content)}
    return {"text": text}


def decoded(path: str, local: Path) -> dict[str, Any]:
    """Return what an encoded file holds, which does not depend on the encoder."""
    if path.endswith(".png"):
        return {"pixels": _pixels(local)}
    if path.endswith(".npz"):
        return {"arrays": _arrays(local)}
    return {}


def _pixels(local: Path) -> dict[str, Any]:
    """Return mode, size and the hash of the raw pixels."""
    from PIL import Image  # noqa: PLC0415 - only in wandb's virtual environment

    with Image.open(local) as image:
        return {"mode": image.mode, "size": list(image.size), "sha256": sha256(image.tobytes())}


def _arrays(local: Path) -> dict[str, Any]:
    """Return dtype, shape and content hash of each array of an npz file."""
    import numpy as np  # noqa: PLC0415 - only in wandb's virtual environment

    with np.load(local, allow_pickle=True) as arrays:
        return {key: _array(arrays[key]) for key in arrays.files}


def _array(array: Any) -> dict[str, Any]:
    """Return an array's dtype and shape, and its values as JSON or as a hash."""
    record: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size <= 64 and array.dtype.kind in "biuf":
        return record | {"values": array.tolist()}
    if array.dtype.kind == "O":
        return record | {"repr_sha256": sha256(repr(array.tolist()).encode())}
    return record | {"sha256": sha256(array.tobytes())}


def error_record(error: BaseException, root: Path) -> dict[str, Any]:
    """Return an exception's class, its bases and its message."""
    bases = [each.__name__ for each in type(error).__mro__[1:]]
    message = TEMPORARY.sub("{tmp}", placeholder(str(error), root))
    message = OBJECT.sub("{object}", message)
    return {
        "error": type(error).__name__,
        "bases": [name for name in bases if name not in {"BaseException", "object"}],
        "message": message,
    }


def placeholder(document: Any, root: Path) -> Any:
    """Return `document` with `root` written as {root} in every string of it."""
    if isinstance(document, str):
        return document.replace(str(root), "{root}")
    if isinstance(document, dict):
        return {placeholder(k, root): placeholder(v, root) for k, v in document.items()}
    if isinstance(document, list | tuple):
        return [placeholder(each, root) for each in document]
    return document
