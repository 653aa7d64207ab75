"""Handpicked cases of `add_file`, `add_dir` and `new_file`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .registry import fact, value, write

if TYPE_CHECKING:
    from pathlib import Path

TRAPS = ("a.b", "a/b", "a-b", "a b", "a0", "a/b.c", "a_b", "A", "aa", "a!b", "a~", "B/a", "b")
UNICODE = (
    "caf\u00e9.txt",
    "cafe\u0301.txt",
    "\U0001f600/\U0001f468\u200d\U0001f469\u200d\U0001f467.bin",
    "\u65e5\u672c\u8a9e/\u30c7\u30fc\u30bf.csv",
    "\u05e9\u05dc\u05d5\u05dd/\u0645\u0631\u062d\u0628\u0627.txt",
    "\uff21full.txt",
    "\ufb01ligature.txt",
    "\ue000private.txt",
    "\u00a0nbsp.txt",
    "\u202ertl.txt",
)
QUOTED = (
    "it's.txt",
    'say "hi".txt',
    "back\\slash.txt",
    "..hidden",
    "...",
    ".leading/.dots",
    " lead.txt",
    "trail ",
    "tab\tname",
    "new\nline",
    "per%20cent",
    "col:on",
    "st*r?[x]",
    "$HOME`x`",
    "-rf",
    "#hash",
    "a&b;c|d",
    "\x7fdelete",
    "\x01control",
)
LONG = ("n" * 255, "é" * 127 + "x", "d" * 255 + "/" + "e" * 255, "\U0001f600" * 63 + "abc")


def _added(wandb: Any, root: Path, names: tuple[str, ...]) -> Any:
    """Add one file under each of `names`, its content being the name."""
    source = root / "source"
    artifact = wandb.Artifact("golden", type="dataset")
    for number, name in enumerate(names):
        path = source / str(number)
        write(source, {str(number): name.encode()})
        artifact.add_file(str(path), name=name)
    return artifact


def _directory(wandb: Any, root: Path, names: tuple[str, ...], name: str | None = None) -> Any:
    """Add a directory that holds one file per name."""
    write(root / "top", {each: each.encode() for each in names})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_dir(str(root / "top"), name=name)
    return artifact


@value("files.empty-artifact")
def empty_artifact(wandb: Any, root: Path) -> Any:
    return wandb.Artifact("golden", type="dataset")


@value("files.hello")
def hello(wandb: Any, root: Path) -> Any:
    write(root, {"file1.txt": b"hello"})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_file(str(root / "file1.txt"))
    return artifact


@value("files.empty-file")
def empty_file(wandb: Any, root: Path) -> Any:
    write(root, {"empty": b""})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_file(str(root / "empty"))
    return artifact


@value("files.empty-directory")
def empty_directory(wandb: Any, root: Path) -> Any:
    (root / "top" / "nothing" / "here").mkdir(parents=True)
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_dir(str(root / "top"))
    return artifact


@value("files.empty-directories-dropped")
def empty_directories_dropped(wandb: Any, root: Path) -> Any:
    (root / "top" / "nothing").mkdir(parents=True)
    return _directory(wandb, root, ("file",))


for _label, _names in {
    "traps": TRAPS,
    "unicode": UNICODE,
    "quoted": QUOTED,
    "long": LONG[:2] + LONG[3:],
    "deep": ("/".join(str(n) for n in range(60)), "/".join(["d"] * 300)),
}.items():
    value(f"files.add-file-{_label}")(partial(_added, names=_names))
    value(f"files.add-dir-{_label}")(partial(_directory, names=_names))
    value(f"files.add-dir-name-{_label}")(partial(_directory, names=_names, name="in/side"))
for _number, _name in enumerate((*TRAPS, *UNICODE, *QUOTED, *LONG)):
    value(f"files.one-{_number:02d}")(partial(_added, names=(_name,)))


@value("files.sort-component-against-path")
def sort_component_against_path(wandb: Any, root: Path) -> Any:
    return _directory(wandb, root, ("a.b", "a/b", "a-b", "a b", "ab", "a+b"))


@value("files.sort-code-points")
def sort_code_points(wandb: Any, root: Path) -> Any:
    """U+FFFD sorts before U+10000 by code point and by UTF-8, but after it by UTF-16."""
    return _added(wandb, root, ("\U00010000", "\ufffd", "\ue000", "z", "\U0010ffff"))


@value("files.same-content")
def same_content(wandb: Any, root: Path) -> Any:
    write(root / "top", {f"copy{n}/same.bin": bytes(1000) for n in range(5)})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_dir(str(root / "top"))
    return artifact


@value("files.same-file-twice")
def same_file_twice(wandb: Any, root: Path) -> Any:
    write(root, {"file": b"once"})
    artifact = wandb.Artifact("golden", type="dataset")
    for name in (None, "file", "again", "again"):
        artifact.add_file(str(root / "file"), name=name)
    return artifact


for _number, (_name, _content) in enumerate(
    [
        ("dir/x.tar.gz", b"hello"),
        ("x", b"hello"),
        ("x.txt", b""),
        (".hidden", b"hello"),
        ("a.b/c", b"hello"),
        ("dir.d/x.y.z", b"hello"),
        ("dir/", b"hello"),
        ("caf\u00e9.tar", b"\x00\x01"),
    ]
):

    @value(f"files.is-tmp-{_number}")
    def is_tmp(wandb: Any, root: Path, name: str = _name, content: bytes = _content) -> Any:
        write(root, {"source.bin": content})
        artifact = wandb.Artifact("golden", type="dataset")
        artifact.add_file(str(root / "source.bin"), name=name, is_tmp=True)
        return artifact


for _number, _dirname in enumerate(["", "sub", "sub/", "a/b/c", "a b", "caf\u00e9", "x.y"]):

    @value(f"files.add-dir-name-{_number}")
    def add_dir_name(wandb: Any, root: Path, name: str = _dirname) -> Any:
        return _directory(wandb, root, ("one", "two/three"), name)


@value("files.add-dir-links")
def add_dir_links(wandb: Any, root: Path) -> Any:
    """Links to files and directories inside and outside are followed."""
    write(root, {"outside/far": b"far", "top/near": b"near"})
    (root / "top" / "file-link").symlink_to("near")
    (root / "top" / "dir-link").symlink_to("../outside")
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_dir(str(root / "top"))
    return artifact


@value("files.add-dir-trailing-slash")
def add_dir_trailing_slash(wandb: Any, root: Path) -> Any:
    write(root / "top", {"one": b"1", "two/three": b"3"})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_dir(str(root / "top") + "/")
    return artifact


@value("files.add-dirs-merged")
def add_dirs_merged(wandb: Any, root: Path) -> Any:
    write(root, {"one/same": b"s", "one/x": b"x", "two/same": b"s", "two/y": b"y"})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_dir(str(root / "one"))
    artifact.add_dir(str(root / "two"))
    return artifact


for _number, _size in enumerate([1, 4095, 4096, 65535, 65536, 65537, 131072, 1 << 20, 4194305]):

    @value(f"files.size-{_number}")
    def sized(wandb: Any, root: Path, size: int = _size) -> Any:
        write(root, {"data": bytes(n % 251 for n in range(size))})
        artifact = wandb.Artifact("golden", type="dataset")
        artifact.add_file(str(root / "data"))
        return artifact


for _number, (_text, _encoding) in enumerate(
    [
        ("hello", None),
        ("", None),
        ("caf\u00e9 \u65e5\u672c", "utf-8"),
        ("caf\u00e9", "latin-1"),
        ("caf\u00e9", "utf-16"),
        ("caf\u00e9", "utf-8-sig"),
        ("line\nline\r\nline\r", "ascii"),
    ]
):

    @value(f"files.new-file-text-{_number}")
    def new_file(wandb: Any, root: Path, text: str = _text, enc: str | None = _encoding) -> Any:
        artifact = wandb.Artifact("golden", type="dataset")
        with artifact.new_file("notes/text.txt", encoding=enc) as file:
            file.write(text)
        return artifact


@value("files.new-file-binary")
def new_file_binary(wandb: Any, root: Path) -> Any:
    artifact = wandb.Artifact("golden", type="dataset")
    with artifact.new_file("data.bin", mode="wb") as file:
        file.write(bytes(range(256)))
    return artifact


@value("files.new-file-leading-slash")
def new_file_leading_slash(wandb: Any, root: Path) -> Any:
    """The staging file drops the slashes, the entry keeps them (artfs refuses such a path)."""
    artifact = wandb.Artifact("golden", type="dataset")
    with artifact.new_file("//x") as file:
        file.write("x")
    return artifact


@value("files.verbatim-paths")
def verbatim_paths(wandb: Any, root: Path) -> Any:
    """Paths that artfs refuses on purpose: wandb takes every name as it is."""
    return _added(wandb, root, ("../up", "/abs", "a//b", "./dot", "a/../b", "t/", "a", "a/b"))


@fact("files.size-property")
def size_property(wandb: Any, root: Path) -> Any:
    """Reading the size does not finalize, and references count."""
    write(root, {"a": b"12345", "b": b"123"})
    artifact = wandb.Artifact("golden", type="dataset")
    sizes = [artifact.size]
    artifact.add_file(str(root / "a"))
    sizes.append(artifact.size)
    artifact.add_reference(f"file://{root}/b")
    sizes.append(artifact.size)
    artifact.add_reference("odd://somewhere/x", name="x")
    return [*sizes, artifact.size]


@fact("files.local-path-names")
def local_path_names(wandb: Any, root: Path) -> Any:
    """The key is the literal string, and the last name given to a path wins."""
    write(root, {"a": b"1", "d/b": b"2"})
    artifact = wandb.Artifact("golden", type="dataset")
    artifact.add_file(str(root / "a"), name="first")
    artifact.add_file(str(root / "a"), name="second")
    artifact.add_dir(str(root / "d"), name="in")
    asked = ["a", "./a", "d/b", "d//b", "missing"]
    return {name: artifact.get_added_local_path_name(f"{root}/{name}") for name in asked}


@fact("files.returned-entry")
def returned_entry(wandb: Any, root: Path) -> Any:
    write(root, {"a": b"hello"})
    entry = wandb.Artifact("golden", type="dataset").add_file(str(root / "a"), name="x/y")
    return [entry.path, entry.digest, entry.size, entry.ref, entry.extra, entry.birth_artifact_id]
