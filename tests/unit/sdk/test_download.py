"""Downloads: what is written, kept, refused and checked. R8: nothing is written elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import artfs
from artfs.catalog.records import BlobRecord, CommitRequest, VersionRecord
from artfs.content.blobs import BlobReader
from artfs.errors import Conflict, IntegrityError
from artfs.manifest.directory import directory_digest, encode_directory
from artfs.manifest.entries import DirectoryEntry, Entry, FileEntry, SymlinkEntry
from artfs.model import BLOCK_SIZE_BYTES, Digest
from artfs.repository.facade import Repository
from artfs.repository.ingest import Ingest
from tests.unit.sdk.helpers import files_below, logged, write

LARGE = os.urandom(1024) * 1024 * 9


def test_a_download_has_every_file_where_wandb_puts_it(run: artfs.Run) -> None:
    files = {"a": "1", "deep/er/b": "2", "empty": "", "é ü": "3"}
    artifact = logged(run, files)
    root = artifact.download()
    assert root == "./artifacts/data:v0"
    assert files_below(Path(root)) == {name: text.encode() for name, text in files.items()}
    assert [path.name for path in Path(root).iterdir() if path.name.startswith(".")] == []


def test_large_files_come_whole(run: artfs.Run, workplace: Path) -> None:
    write(workplace, {"in/large": LARGE, "in/exact": LARGE[:BLOCK_SIZE_BYTES]})
    artifact = artfs.Artifact("data", type="dataset")
    artifact.add_dir("in")
    root = run.log_artifact(artifact).download(str(workplace / "out"))
    assert files_below(Path(root)) == files_below(workplace / "in")


def test_right_files_are_kept_wrong_ones_replaced_and_others_left(
    run: artfs.Run, workplace: Path
) -> None:
    artifact = logged(run, {"right": "1", "wrong": "2", "missing": "3", "link": "4"})
    root = write(workplace / "root", {"right": "1", "wrong": "x", "own": "mine", "mine": "y"})
    (root / "link").symlink_to("mine")
    before = (root / "right").stat().st_ino
    artifact.download(str(root))
    assert files_below(root) == {
        "right": b"1",
        "wrong": b"2",
        "missing": b"3",
        "link": b"4",
        "own": b"mine",
        "mine": b"y",
    }
    assert (root / "right").stat().st_ino == before


def test_a_file_of_right_size_and_time_but_other_content_is_replaced(run: artfs.Run) -> None:
    artifact = logged(run, {"x": "good"})
    path = Path(artifact.download()) / "x"
    times = path.stat()
    path.write_text("evil")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    artifact.download()
    assert path.read_text() == "good"


@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [
        ("", {"a/b", "a/bc", "ab", "z"}),
        ("a", {"a/b", "a/bc", "ab"}),
        ("a/", {"a/b", "a/bc"}),
        ("a/b", {"a/b", "a/bc"}),
        ("a/bc", {"a/bc"}),
        ("nothing", set()),
    ],
)
def test_a_prefix_selects_paths(
    prefix: str, wanted: set[str], run: artfs.Run, workplace: Path
) -> None:
    artifact = logged(run, {"a/b": "1", "a/bc": "2", "ab": "3", "z": "4"})
    root = Path(artifact.download(str(workplace / "root"), path_prefix=prefix))
    assert set(files_below(root)) == wanted


def test_progress_ends_with_everything(run: artfs.Run) -> None:
    artifact = logged(run, {"a": "12", "b/c": "345"})
    told: list[artfs.Progress] = []
    artifact.download(on_progress=told.append)
    last = told[-1]
    assert (last.files_done, last.bytes_done) == (2, 5)
    assert (last.files_total, last.bytes_total) == (2, 5)


def test_checkout_leaves_exactly_the_version(run: artfs.Run) -> None:
    artifact = logged(run, {"a": "1", "b/c": "2", "d": "3"})
    root = write(Path("artifacts/data"), {"own": "x", "b/own/deep": "y", "a": "z", "d/x": "w"})
    (root / "b" / "link").symlink_to("/etc")
    assert artifact.checkout() == "./artifacts/data"
    assert files_below(root) == {"a": b"1", "b/c": b"2", "d": b"3"}
    assert sorted(path.name for path in root.rglob("*")) == ["a", "b", "c", "d"]


def test_verify_says_what_is_wrong(run: artfs.Run) -> None:
    artifact = logged(run, {"a": "1", "b/c": "2"})
    assert artifact.verify() is True
    root = Path("artifacts/data:v0")
    (root / "a").write_text("x")
    with pytest.raises(ValueError, match=r"'a' is missing or has other content"):
        artifact.verify(str(root))
    (root / "a").write_text("1")
    (root / "extra").write_text("")
    with pytest.raises(ValueError, match="'extra' is not in it"):
        artifact.verify(str(root))
    (root / "extra").unlink()
    (root / "b/c").unlink()
    with pytest.raises(ValueError, match="'b/c' is missing"):
        artifact.verify(str(root))


def test_damaged_content_is_refused_and_not_written(
    run: artfs.Run, workplace: Path, tmp_path: Path
) -> None:
    write(workplace, {"in/large": LARGE})
    artifact = artfs.Artifact("data", type="dataset")
    artifact.add_dir("in")
    run.log_artifact(artifact)
    (blob,) = [path for path in (tmp_path / "store/blobs").rglob("*") if path.is_file()]
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(len(LARGE) // 2)
        file.write(b"evil")
    with pytest.raises(IntegrityError):
        artifact.download("out")
    assert list(Path("out").iterdir()) == []


# --- hostile trees -----------------------------------------------------------------------------


def committed(repository: Repository, ingest: Ingest, entries: list[Entry]) -> VersionRecord:
    """A version whose root is exactly this directory, however strange."""
    encoded = encode_directory(entries)
    digest = directory_digest(encoded)
    ingest.add_directory(digest, encoded)
    request = CommitRequest(project="demo", name="hostile", type="dataset")
    return repository.commit(ingest, DirectoryEntry("", digest, 0, 0), request).version


def file_entry(ingest: Ingest, name: str, text: str) -> FileEntry:
    content = ingest.add_bytes(text.encode())
    return FileEntry(name, content.sha256, content.size_bytes, content.md5, None, False, 1)


def test_r8_a_link_of_one_version_cannot_lead_another_version_out_of_the_root(
    repository: Repository, workplace: Path
) -> None:
    outside = workplace / "outside"
    outside.mkdir()
    ingest = repository.ingest()
    link = committed(repository, ingest, [SymlinkEntry("way", str(outside))])
    below = encode_directory([file_entry(ingest, "x", "evil")])
    ingest.add_directory(directory_digest(below), below)
    way = committed(repository, ingest, [DirectoryEntry("way", directory_digest(below), 4, 1)])
    root = str(workplace / "root")
    artfs.Artifact.of_version(repository, link).download(root)
    with pytest.raises(Conflict, match="a directory"):
        artfs.Artifact.of_version(repository, way).download(root)
    assert list(outside.iterdir()) == []
    artfs.Artifact.of_version(repository, way).checkout(root)
    assert list(outside.iterdir()) == []
    assert files_below(Path(root)) == {"way/x": b"evil"}


def test_r8_a_file_is_never_written_through_a_link(repository: Repository, workplace: Path) -> None:
    write(workplace, {"victim": "mine"})
    ingest = repository.ingest()
    link = committed(repository, ingest, [SymlinkEntry("x", "../victim")])
    file = committed(repository, ingest, [file_entry(ingest, "x", "evil")])
    root = str(workplace / "root")
    artfs.Artifact.of_version(repository, link).download(root)
    artfs.Artifact.of_version(repository, file).download(root)
    assert (workplace / "victim").read_text() == "mine"
    assert (workplace / "root/x").read_text() == "evil"
    assert not (workplace / "root/x").is_symlink()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../evil", "x\0"])
def test_r8_a_hostile_name_writes_nothing(
    name: str, repository: Repository, workplace: Path
) -> None:
    # The encoder refuses such a name: an innocent one of the same length is swapped afterwards.
    ingest = repository.ingest()
    innocent = "n" * len(name)
    encoded = encode_directory([file_entry(ingest, innocent, "evil")])
    hostile = encoded.replace(innocent.encode(), name.encode())
    assert hostile != encoded
    digest = directory_digest(hostile)
    ingest.add_directory(digest, hostile)
    with pytest.raises(ValueError, match=r"directory entry|not a valid"):
        repository.commit(
            ingest,
            DirectoryEntry("", digest, 0, 0),
            CommitRequest(project="demo", name="hostile", type="dataset"),
        )


def test_a_directory_in_the_place_of_a_file_is_not_removed(run: artfs.Run, workplace: Path) -> None:
    artifact = logged(run, {"x": "1"})
    write(workplace / "root/x", {"own": "mine"})
    with pytest.raises(Conflict, match="there is a directory where the version has a file"):
        artifact.download(str(workplace / "root"))
    assert files_below(workplace / "root") == {"x/own": b"mine"}


def test_a_killed_download_leaves_whole_files_and_the_next_one_goes_on(
    run: artfs.Run, workplace: Path
) -> None:
    write(workplace, {f"in/{n}": bytes([n]) * 300_000 for n in range(60)})
    artifact = artfs.Artifact("data", type="dataset")
    artifact.add_dir("in")
    run.log_artifact(artifact)
    script = (
        "import artfs, os, signal\n"
        "def told(progress):\n"
        "    if progress.files_done == 10: os.kill(os.getpid(), signal.SIGKILL)\n"
        "artfs.Api().artifact('demo/data').download('out', on_progress=told)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(artfs.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    wanted = files_below(workplace / "in")
    got = {name: data for name, data in files_below(Path("out")).items() if name[0] != "."}
    assert got.items() <= wanted.items()
    artifact.download("out")
    assert files_below(Path("out")) == wanted
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(wanted)


def test_reading_one_entry_reads_nothing_else(
    run: artfs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = logged(run, {"a": "1", "b/c": "2"})
    located: list[Digest] = []
    blobs = type(run.repository.blobs)
    locate = blobs.locate

    def recording(self: BlobReader, digest: Digest) -> BlobRecord:
        located.append(digest)
        return locate(self, digest)

    artifact.get_path("a")
    monkeypatch.setattr(blobs, "locate", recording)
    assert artifact.get_path("a").read_bytes() == b"1"
    assert len(set(located)) == 1
