"""Small steps that many tests of the SDK take."""

from __future__ import annotations

from pathlib import Path

import artfs


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    """Write files (path below `root` → content) and return `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def files_below(root: Path) -> dict[str, bytes]:
    """All regular files below a directory, by their relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def logged(run: artfs.Run, files: dict[str, str], name: str = "data") -> artfs.Artifact:
    """A logged artifact with these files."""
    artifact = artfs.Artifact(name, type="dataset")
    for path, content in files.items():
        with artifact.new_file(path) as file:
            file.write(content)
    return run.log_artifact(artifact)
