"""What another tool keeps becomes a version: what `artfs import` does.

Every digest by which the tool names content is compared with that of the bytes which were taken
in, or referred to, so that a damaged cache can give no version.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import md5, sha256
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote

import msgspec

from artfs.blobs.base import Transfer
from artfs.catalog.records import CommitResult
from artfs.errors import IntegrityError, PathNotFound, SourceChanged
from artfs.foreign.base import Algorithm, ForeignFile, ForeignTree, Proof, check_there
from artfs.foreign.proofs import Hasher, feed, new_hasher
from artfs.manifest.entries import FileEntry
from artfs.references.file import describe_file
from artfs.repository.facade import Repository
from artfs.repository.path_filter import PathFilter
from artfs.sdk.draft_entries import DraftEntries
from artfs.sdk.intake import FileIntake
from artfs.sdk.publish import PutRequest, commit_put, commit_request
from artfs.system.oserrors import translate_os_errors
from artfs.system.progress import OnProgress, ProgressMeter
from artfs.system.threads import in_parallel


class Imported(msgspec.Struct, frozen=True):
    """What came of it."""

    outcome: CommitResult
    proven: int
    """How many files had a digest, which their bytes have."""
    referred: int
    """How many things are only referred to."""


def chosen_of(tree: ForeignTree, chosen: PathFilter) -> ForeignTree:
    """What is meant of it. Raises: PathNotFound where that is nothing."""
    if chosen.takes_all:
        return tree
    files = tuple(file for file in tree.files if chosen.takes(file.path))
    references = tuple(each for each in tree.references if chosen.takes(each[0]))
    if not files and not references:
        raise PathNotFound("--include and --exclude", "nothing matches")
    return msgspec.structs.replace(tree, files=files, references=references)


def import_tree(
    repository: Repository,
    tree: ForeignTree,
    request: PutRequest,
    *,
    as_references: bool = False,
    transfer: Transfer = Transfer.COPY,
    on_progress: OnProgress | None = None,
) -> Imported:
    """Make a version of what was found; with `as_references`, of references to where it is.

    Blocks: on the disk and the store. Raises: PathNotFound where bytes are missing, IntegrityError
    where some are not what they are said to be: both name the first and say how many; and what
    `put` raises. Nothing is visible before it succeeds.
    """
    check_there(tree)
    if request.type is None and tree.type is not None:
        request = msgspec.structs.replace(request, new_type=tree.type)
    commit = commit_request(repository, request)
    meter = ProgressMeter(on_progress)
    meter.expect(files=len(tree.files), size_bytes=sum(file.size_bytes for file in tree.files))
    ingest, contents = repository.ingest(), DraftEntries()
    try:
        for path, entry in tree.references:
            contents.add(path, entry)
        if as_references:
            damaged = _refer(tree, contents, meter)
        else:
            intake = FileIntake(ingest, contents, transfer=transfer, meter=meter)
            damaged = _take_in(tree, contents, intake)
        _raise_damaged(tree, damaged)
        outcome = commit_put(repository, ingest, contents, commit)
    finally:
        ingest.discard()
    proven = sum(file.proof is not None for file in tree.files)
    referred = len(tree.references) + (len(tree.files) if as_references else 0)
    return Imported(outcome, proven, referred)


_Damaged = list[tuple[ForeignFile, str]]
"""Files with what is wrong with each."""


def _raise_damaged(tree: ForeignTree, damaged: _Damaged) -> None:
    if damaged:
        first, what = damaged[0]
        count = f"the first of {len(damaged)} among {len(tree.files)} files"
        raise IntegrityError(
            first.place,
            f"{first.path!r} is damaged, {count}: it {what}",
            hint=tree.cure,
        )


def _sound(tree: ForeignTree, damaged: _Damaged) -> Iterator[ForeignFile]:
    """The files whose size is right; the others are noted."""
    for file in tree.files:
        if file.damage:
            damaged.append((file, file.damage))
        else:
            yield file


def _take_in(tree: ForeignTree, contents: DraftEntries, intake: FileIntake) -> _Damaged:
    damaged: _Damaged = []
    sound = list(_sound(tree, damaged))
    entries = intake.add_files((file.place, file.path) for file in sound)
    for file, entry in zip(sound, entries, strict=True):
        if file.proof is not None:
            found = _digest_of(file, file.proof, entry)
            if found != file.proof.digest:
                damaged.append((file, _difference(file.proof, found)))
        if file.executable and not entry.executable:
            marked = msgspec.structs.replace(entry, executable=True)
            contents.add(file.path, marked, overwrite=True)
    return damaged


def _digest_of(file: ForeignFile, proof: Proof, entry: FileEntry) -> bytes:
    """The digest, as its tool computes it, of the bytes that were taken in."""
    if proof.algorithm is Algorithm.SHA256:
        return entry.sha256
    if proof.algorithm is Algorithm.MD5 or entry.md5 == proof.digest:
        return entry.md5
    hashers = [new_hasher(proof.algorithm, size_bytes=entry.size_bytes), sha256()]
    with translate_os_errors(file.place), Path(file.place).open("rb") as opened:
        feed(opened, hashers)
    if hashers[1].digest() != entry.sha256:
        raise SourceChanged(file.place, "changed while it was read", hint="try again")
    return hashers[0].digest()


def _difference(proof: Proof, found: bytes) -> str:
    return f"has the {proof.algorithm} {found.hex()}, not {proof.digest.hex()}"


def _refer(tree: ForeignTree, contents: DraftEntries, meter: ProgressMeter) -> _Damaged:
    damaged: _Damaged = []
    workers = min(8, 2 * (os.cpu_count() or 1))

    def refer(file: ForeignFile) -> str:
        place = Path(file.place).absolute()
        wanted = (
            new_hasher(file.proof.algorithm, size_bytes=file.size_bytes) if file.proof else None
        )

        def digest_of(opened: BufferedReader) -> bytes:
            whole = md5()
            hashers: list[Hasher] = [whole] if wanted is None else [whole, wanted]
            feed(opened, hashers, on_bytes=meter.advance_bytes)
            return whole.digest()

        uri = f"file://{quote(os.fsencode(place))}"
        path, entry = describe_file(place, name=file.path, uri=uri, digest_of=digest_of)
        meter.advance(files=1)
        if file.proof is not None and wanted is not None:
            found = wanted.digest()
            # DVC names text by its md5 as it is where all its line ends are those of Unix.
            if file.proof.digest not in {found, entry.pin.md5}:
                return _difference(file.proof, found)
        contents.add(path, entry)
        return ""

    sound = list(_sound(tree, damaged))
    for file, what in zip(sound, in_parallel(refer, sound, workers=workers), strict=True):
        if what:
            damaged.append((file, what))
    return damaged
