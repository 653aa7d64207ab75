"""Handpicked cases of `add_reference`: file:// and schemes that nobody handles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .registry import fact, value, write

if TYPE_CHECKING:
    from pathlib import Path

TREE = {"one.txt": b"one", "sub/two.txt": b"two", "sub/deep/three": b"3", "empty": b""}
ODD = "odd name %20 caf\u00e9.txt"


def _draft(wandb: Any) -> Any:
    return wandb.Artifact("golden", type="dataset")


for _checksum in (True, False):
    for _name in (None, "named", "in/side"):
        _case = f"{'sum' if _checksum else 'nosum'}-{(_name or 'none').replace('/', '-')}"

        @value(f"references.file-{_case}")
        def one_file(
            wandb: Any, root: Path, name: str | None = _name, checksum: bool = _checksum
        ) -> Any:
            write(root, TREE)
            artifact = _draft(wandb)
            artifact.add_reference(f"file://{root}/one.txt", name=name, checksum=checksum)
            return artifact

        @value(f"references.directory-{_case}")
        def directory(
            wandb: Any, root: Path, name: str | None = _name, checksum: bool = _checksum
        ) -> Any:
            """With a name, wandb writes refs that do not exist; artfs writes those that do."""
            write(root / "top", TREE)
            artifact = _draft(wandb)
            artifact.add_reference(f"file://{root}/top", name=name, checksum=checksum)
            return artifact


@value("references.directory-trailing-slash")
def directory_trailing_slash(wandb: Any, root: Path) -> Any:
    write(root / "top", TREE)
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/top/")
    return artifact


@value("references.file-quoted-uri")
def file_quoted_uri(wandb: Any, root: Path) -> Any:
    """The URI is unquoted to find the file, and kept as it was given."""
    write(root, {ODD: b"odd"})
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/{quote(ODD)}")
    return artifact


@value("references.directory-odd-names")
def directory_odd_names(wandb: Any, root: Path) -> Any:
    """Names below a directory are put into the ref without quoting."""
    write(root / "top", {ODD: b"odd", "#x?y": b"q"})
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/top")
    return artifact


@value("references.file-single-slash")
def file_single_slash(wandb: Any, root: Path) -> Any:
    write(root, TREE)
    artifact = _draft(wandb)
    artifact.add_reference(f"file:{root}/one.txt")
    return artifact


@value("references.file-link")
def file_link(wandb: Any, root: Path) -> Any:
    """A link is followed, and its own name is kept."""
    write(root, TREE)
    (root / "link").symlink_to("one.txt")
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/link")
    return artifact


@value("references.directory-links")
def directory_links(wandb: Any, root: Path) -> Any:
    """Links to files are followed; links to directories are not listed."""
    write(root, {**TREE, "top/real": b"real"})
    (root / "top" / "file-link").symlink_to("../one.txt")
    (root / "top" / "dir-link").symlink_to("../sub")
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/top")
    return artifact


@value("references.max-objects-exact")
def max_objects_exact(wandb: Any, root: Path) -> Any:
    write(root / "top", TREE)
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/top", max_objects=len(TREE))
    return artifact


@value("references.same-size-no-checksum")
def same_size_no_checksum(wandb: Any, root: Path) -> Any:
    write(root, {"a": b"12345", "b": b"54321", "c": b"", "d": bytes(100)})
    artifact = _draft(wandb)
    for name in "abcd":
        artifact.add_reference(f"file://{root}/{name}", checksum=False)
    return artifact


for _number, (_uri, _as) in enumerate(
    [
        ("odd://host/path/file", "x"),
        ("odd://host/path/file", "dir/x"),
        ("ftp://h/a b?q=1#f", "q"),
        ("mailto:someone@example.org", "mail"),
        ("hdfs://n\u00f6de/caf\u00e9", "caf\u00e9"),
        ("ODD://Case/Kept", "case"),
        ("odd:", "bare"),
        ("x-y+z.1://h", "scheme"),
    ]
):

    @value(f"references.unknown-scheme-{_number}")
    def unknown_scheme(wandb: Any, root: Path, uri: str = _uri, name: str = _as) -> Any:
        artifact = _draft(wandb)
        artifact.add_reference(uri, name=name)
        return artifact

    @value(f"references.unknown-scheme-nosum-{_number}")
    def unknown_scheme_nosum(wandb: Any, root: Path, uri: str = _uri, name: str = _as) -> Any:
        artifact = _draft(wandb)
        artifact.add_reference(uri, name=name, checksum=False)
        return artifact


for _number, (_web, _label) in enumerate(
    [
        ("https://example.org/a/b.bin?x=1", None),
        ("http://example.org/c", "named/c"),
        ("https://example.org/", None),
    ]
):

    @value(f"references.web-nosum-{_number}")
    def web_nosum(wandb: Any, root: Path, uri: str = _web, name: str | None = _label) -> Any:
        """Without a checksum no request is made: the digest is the URI."""
        artifact = _draft(wandb)
        artifact.add_reference(uri, name=name, checksum=False)
        return artifact


@value("references.beside-files")
def beside_files(wandb: Any, root: Path) -> Any:
    write(root, TREE)
    artifact = _draft(wandb)
    artifact.add_file(str(root / "one.txt"))
    artifact.add_reference(f"file://{root}/sub")
    artifact.add_reference("odd://x", name="x")
    return artifact


@value("references.over-a-file")
def over_a_file(wandb: Any, root: Path) -> Any:
    """Equal digests agree, and the entry that came last stays."""
    write(root, TREE)
    artifact = _draft(wandb)
    artifact.add_file(str(root / "one.txt"))
    artifact.add_reference(f"file://{root}/one.txt")
    return artifact


@value("references.under-a-file")
def under_a_file(wandb: Any, root: Path) -> Any:
    write(root, TREE)
    artifact = _draft(wandb)
    artifact.add_reference(f"file://{root}/one.txt")
    artifact.add_file(str(root / "one.txt"))
    return artifact


@value("references.client-artifact")
def client_artifact(wandb: Any, root: Path) -> Any:
    """A table of another finished draft is copied while offline, not referenced."""
    source = _draft(wandb)
    table = wandb.Table(columns=["a"], data=[[1], [2]])
    source.add(table, "table")
    source.finalize()
    artifact = _draft(wandb)
    artifact.add(table, "table")
    return artifact


@fact("references.returned-entries")
def returned_entries(wandb: Any, root: Path) -> Any:
    """One entry for a file, all of them for a directory, sorted here."""
    write(root / "top", {"one": b"1", "sub/two": b"22"})
    artifact = _draft(wandb)
    rows = [
        *artifact.add_reference(f"file://{root}/top"),
        *artifact.add_reference(f"file://{root}/top/one", name="n"),
        *artifact.add_reference("odd://x", name="x"),
    ]
    return sorted([e.path, e.digest, e.ref, e.size, e.extra] for e in rows)
