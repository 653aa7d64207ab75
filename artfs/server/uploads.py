"""Content on its way from clients into the store: hashed and stored in one pass, then recorded.

Nothing is answered before what came is durable, and known to the catalog as a draft's: whichever
server commits it finds it. Small files are stored together: those that come while others are being
stored wait for these, and are the next pack. So how many clients there are decides how much one
write to the disk takes along, and memory is bounded by how many may wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import msgspec

from artfs.blobs.base import Transfer
from artfs.blobs.hashing import ContentHash, StreamHash
from artfs.catalog.blob_port import BlobsGone
from artfs.catalog.serving_records import ContentRecord, Received
from artfs.errors import ArtfsError, Conflict, IntegrityError, InvalidArgument, PathNotFound
from artfs.model import BLOCK_SIZE_BYTES, SMALL_BLOB_LIMIT_BYTES
from artfs.repository.facade import Repository
from artfs.repository.ingest import Ingest, StoredContent
from artfs.system.files import page_buffer, state_of
from artfs.system.oserrors import reach_step, translate_os_errors

_SMALL_AT_ONCE = 32
"""Small files in memory, each below 1 MiB."""

_TINY_BYTES = 64 * 1024
_TINY_AT_ONCE = 256
"""Files in memory that are smaller still: a client sends 128 at once, which are few packs then."""

_LARGE_AT_ONCE = 4
"""Large files under way, each with two blocks of 4 MiB."""

_BATCH_BYTES = 16 * 1024 * 1024


class Target(msgspec.Struct, frozen=True):
    """What content is for."""

    draft_id: str
    md5: bytes | None
    """What its md5 must be; None: whatever it is."""
    manifest_id: str | None = None


class _Waiting(msgspec.Struct, frozen=True):
    target: Target
    data: bytes
    done: asyncio.Future[ContentRecord]


class Uploads:
    """Takes content in, from the event loop that runs when it is made."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._loop = asyncio.get_running_loop()
        self._tiny = asyncio.Semaphore(_TINY_AT_ONCE)
        self._small = asyncio.Semaphore(_SMALL_AT_ONCE)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._threads = ThreadPoolExecutor(_LARGE_AT_ONCE, "artfs-upload")
        self._writer = Thread(target=self._write, name="artfs-uploads", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Store what is waiting, and end."""
        self._queue.put(None)
        self._writer.join()
        self._threads.shutdown()

    async def receive(
        self, body: AsyncIterator[bytes], length: int | None, target: Target
    ) -> ContentRecord:
        """Store a body of `length` bytes; None: as many as come.

        Raises: IntegrityError for another md5 or length; PathNotFound where the draft is gone;
        OutOfSpace, PermissionDenied, BackendUnavailable.
        """
        if length is not None and length < SMALL_BLOB_LIMIT_BYTES:
            async with self._tiny if length <= _TINY_BYTES else self._small:
                return await self._receive_small(body, length, target)
        async with self._large:
            return await self._receive_large(body, length, target)

    # --- small -----------------------------------------------------------------------------

    async def _receive_small(
        self, body: AsyncIterator[bytes], length: int, target: Target
    ) -> ContentRecord:
        data = b"".join([chunk async for chunk in body])
        _require_length(len(data), length)
        waiting = _Waiting(target, data, self._loop.create_future())
        self._queue.put(waiting)
        return await waiting.done

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, size_bytes, is_last = [first], len(first.data), False
            while size_bytes < _BATCH_BYTES and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    is_last = True
                    break
                batch.append(more)
                size_bytes += len(more.data)
            self._store_batch(batch)
            if is_last:
                return

    def _store_batch(self, batch: Sequence[_Waiting]) -> None:
        answers: Sequence[ContentRecord | Exception]
        try:
            answers = self._stored_small(batch)
        except Exception as error:  # noqa: BLE001 - each of those who wait hears of it
            answers = [error] * len(batch)
        # All at once: each call wakes the loop, which then wants the interpreter, too.
        self._loop.call_soon_threadsafe(_tell, batch, answers)

    def _stored_small(self, batch: Sequence[_Waiting]) -> list[ContentRecord | ArtfsError]:
        def take_in(ingest: Ingest) -> list[tuple[Target, StoredContent] | ArtfsError]:
            taken: list[tuple[Target, StoredContent] | ArtfsError] = []
            for waiting in batch:
                content = ingest.add_bytes(waiting.data)
                wrong = _wrong_md5(waiting.target, content.md5)
                taken.append(wrong or (waiting.target, content))
            return taken

        return self._stored(take_in)

    # --- large -----------------------------------------------------------------------------

    async def _receive_large(
        self, body: AsyncIterator[bytes], length: int | None, target: Target
    ) -> ContentRecord:
        loop = asyncio.get_running_loop()
        path = await loop.run_in_executor(self._threads, self._new_file)
        try:
            hashed = await self._write_file(path, body, loop)
            if length is not None:
                _require_length(hashed.size_bytes, length)
            if wrong := _wrong_md5(target, hashed.md5):
                raise wrong
            return await loop.run_in_executor(
                self._threads, self._store_large, path, hashed, target
            )
        finally:
            await loop.run_in_executor(self._threads, _remove, path)

    def _new_file(self) -> Path:
        return self._repository.workspace.temporaries.new("upload")

    async def _write_file(
        self, path: Path, body: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop
    ) -> ContentHash:
        with translate_os_errors(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        stream = StreamHash(fd)
        try:
            block, other = (page_buffer(BLOCK_SIZE_BYTES) for _ in range(2))
            filled = 0
            async for chunk in body:
                rest = memoryview(chunk)
                while rest:
                    count = min(len(rest), BLOCK_SIZE_BYTES - filled)
                    block[filled : filled + count] = rest[:count]
                    filled, rest = filled + count, rest[count:]
                    if filled == BLOCK_SIZE_BYTES:
                        await loop.run_in_executor(self._threads, stream.feed, block)
                        # Once a block was taken, the one before is done with.
                        block, other, filled = other, block, 0
            if filled:
                await loop.run_in_executor(self._threads, stream.feed, block[:filled])
            return await loop.run_in_executor(self._threads, stream.finish)
        finally:
            stream.close()
            with suppress(OSError):
                os.close(fd)

    def _store_large(self, path: Path, hashed: ContentHash, target: Target) -> ContentRecord:
        def take_in(ingest: Ingest) -> list[tuple[Target, StoredContent] | ArtfsError]:
            with translate_os_errors(path):
                state = state_of(path.stat())
            content, _ = ingest.add_file(path, transfer=Transfer.LINK, hashed=hashed, state=state)
            return [(target, content)]

        answer = self._stored(take_in)[0]
        if isinstance(answer, ArtfsError):
            raise answer
        return answer

    # --- both ------------------------------------------------------------------------------

    def _stored(
        self, take_in: Callable[[Ingest], list[tuple[Target, StoredContent] | ArtfsError]]
    ) -> list[ContentRecord | ArtfsError]:
        """Store and record what `take_in` takes in; once more where gc was about to delete it."""
        for is_last in (False, True):
            try:
                return self._stored_once(take_in)
            except BlobsGone as error:
                doomed = (*error.missing, *error.packs)
                self._repository.catalog.sweep(self._repository.delete_object, only=doomed)
                if is_last:
                    raise Conflict(
                        "an upload", "gc removed content that it relied on", hint="send it again"
                    ) from None
        raise AssertionError("the last attempt returns or raises")

    def _stored_once(
        self, take_in: Callable[[Ingest], list[tuple[Target, StoredContent] | ArtfsError]]
    ) -> list[ContentRecord | ArtfsError]:
        repository = self._repository
        ingest = repository.ingest()
        try:
            taken = take_in(ingest)
            stored = ingest.finish()
            reach_step("serve.upload-stored", "an upload")
            received = [
                Received(_record(each[1]), each[0].draft_id, each[0].manifest_id)
                for each in taken
                if not isinstance(each, ArtfsError)
            ]
            gone = repository.catalog.serving.record_uploads(
                stored.packs,
                stored.blobs,
                stored.lost,
                received,
                confirm=repository.require_objects,
            )
            reach_step("serve.upload-recorded", "an upload")
        finally:
            ingest.discard()
        return [
            each if isinstance(each, ArtfsError) else _answer(each[0], each[1], gone)
            for each in taken
        ]


def _tell(batch: Sequence[_Waiting], answers: Sequence[ContentRecord | Exception]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        if waiting.done.done():
            # Whoever sent it was told to go, for the server ends.
            continue
        if isinstance(answer, ContentRecord):
            waiting.done.set_result(answer)
        else:
            waiting.done.set_exception(answer)


def _answer(target: Target, content: StoredContent, gone: set[str]) -> ContentRecord | ArtfsError:
    if target.draft_id in gone:
        return PathNotFound("this upload", "what it is for was given up", hint="log it again")
    return _record(content)


def _record(content: StoredContent) -> ContentRecord:
    return ContentRecord(content.md5, content.sha256, content.size_bytes, content.blocks)


def _wrong_md5(target: Target, md5: bytes) -> IntegrityError | None:
    if target.md5 in {None, md5}:
        return None
    assert target.md5 is not None
    return IntegrityError(
        "this upload",
        f"its md5 is {md5.hex()}, but {target.md5.hex()} was announced",
        hint="send it again",
    )


def _require_length(found: int, wanted: int) -> None:
    if found != wanted:
        raise InvalidArgument("this upload", f"has {found} bytes, but {wanted} were announced")


def _remove(path: Path) -> None:
    # What cannot be removed now is removed with what killed processes left behind.
    with suppress(OSError):
        path.unlink(missing_ok=True)
