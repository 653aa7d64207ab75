"""Random trees: what they hold, how they are added, and what wandb makes of them."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 1010
"""A few trees have names that artfs refuses: 1,000 are left to compare."""
WORDS = ("data", "train", "val", "model", "README", "x", "img", "labels", "00001", "A", "a", "b")
JOINTS = (".", "-", " ", "_", "", "+", "~", "!")
SUFFIXES = ("", "", ".txt", ".json", ".tar.gz", ".PNG", ".bin", ".csv", ".", ".a.b.c")
ODD = (
    "caf\u00e9",
    "cafe\u0301",
    "\u65e5\u672c\u8a9e",
    "\U0001f600",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u0631\u062d\u0628\u0627",
    "it's",
    'q"q',
    "back\\slash",
    ".hidden",
    "..two",
    "tab\t",
    " lead",
    "trail ",
    "%41",
    "#",
    "new\nline",
    "\U0010fffd",
    "\ufffd",
)
SIZES = (0, 1, 2, 31, 100, 1000, 4096, 65535, 65536, 65537, 200_000)


def content(recipe: dict[str, Any]) -> bytes:
    """Return a file's bytes: literal, or `random.Random(seed).randbytes(size)`."""
    if "base64" in recipe:
        return base64.b64decode(recipe["base64"])
    return random.Random(recipe["seed"]).randbytes(recipe["size"])


def tree(number: int) -> dict[str, Any]:
    """Return the recipe of tree `number`: files on disk and how they are added."""
    rng = random.Random(f"artfs-golden-tree-{number}")
    files = [{"path": path, **_content(rng)} for path in _paths(rng)]
    recipe: dict[str, Any] = {"id": f"tree-{number:04d}", "files": files}
    style = rng.choice(("dir", "dir", "dir", "dir-name", "files"))
    recipe["add"] = "files" if style == "files" else "dir"
    if style == "dir-name":
        recipe["name"] = rng.choice(("pre", "pre/fix", "caf\u00e9", "a b", "x.y/z"))
    if style == "files":
        for file in files:
            _add_style(rng, file)
    return recipe


def build(recipe: dict[str, Any], root: Path) -> None:
    """Write the files of `recipe` below `root`."""
    root.mkdir(parents=True)
    for file in recipe["files"]:
        path = root / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(file))


def add(recipe: dict[str, Any], root: Path, artifact: Any) -> None:
    """Add the files of `recipe`, which stand below `root`, to `artifact`."""
    if recipe["add"] == "dir":
        artifact.add_dir(str(root), name=recipe.get("name"))
        return
    for file in recipe["files"]:
        artifact.add_file(
            str(root / file["path"]), name=file["name"], is_tmp=file.get("is_tmp", False)
        )


def _add_style(rng: random.Random, file: dict[str, Any]) -> None:
    """Give the file its own path, or the path below a prefix, and sometimes is_tmp."""
    file["name"] = rng.choice(("", "", "re/named/", "z ")) + file["path"]
    if rng.random() < 0.25:
        file["is_tmp"] = True


def _paths(rng: random.Random) -> list[str]:
    """Return distinct paths of which none is a directory of another."""
    files: set[str] = set()
    directories: list[str] = [""]
    for _ in range(rng.choice((1, 2, 3, 4, 5, 6, 8, 12, rng.randrange(20)))):
        if rng.random() < 0.5:
            directories.append(f"{rng.choice(directories)}{_component(rng)}/")
        path = rng.choice(directories) + _component(rng)
        above = {f"{directory}" for directory in _parents(path)}
        if path not in files and not above & files and f"{path}/" not in _prefixes(files):
            files.add(path)
    return rng.sample(sorted(files), len(files))


def _component(rng: random.Random) -> str:
    """Return one name; rarely one of the 255 bytes that Linux allows."""
    draw = rng.random()
    if draw < 0.01:
        return rng.choice("lmn") * 255
    if draw < 0.25:
        return rng.choice(ODD) + rng.choice(SUFFIXES)
    if draw < 0.55:
        return rng.choice(WORDS) + rng.choice(JOINTS) + rng.choice(WORDS)
    return rng.choice(WORDS) + rng.choice(SUFFIXES)


def _parents(path: str) -> list[str]:
    """Return the directories above `path`, without a trailing slash."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _prefixes(files: set[str]) -> set[str]:
    """Return the directories that `files` need, with a trailing slash."""
    return {f"{parent}/" for path in files for parent in _parents(path)}


def _content(rng: random.Random) -> dict[str, Any]:
    """Return short content as it is, longer content as a seed and a size."""
    if rng.random() < 0.5:
        text = rng.choice(("", "hello", "same", "caf\u00e9\n", "\x00\xff", str(rng.random())))
        return {"base64": base64.b64encode(text.encode()).decode("ascii")}
    return {"seed": rng.randrange(1 << 30), "size": rng.choice(SIZES)}
