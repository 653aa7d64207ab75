"""The part of the contract of catalogs about many threads and processes, and sudden death."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from random import Random

from artfs.catalog.base import Catalog
from artfs.catalog.records import BlobRecord, LeaseKind, PackRecord, VersionUpdate
from artfs.model import Digest
from artfs.testing.catalog_samples import OpenCatalog, a_pack, commit, own_blobs, put

PROCESSES = 8
COMMITS = 8
ENOUGH_SWEPT = 40
MOST_COMMITS = 2000
NO_GRACE_NS = 2**62


def commit_many(open_catalog: OpenCatalog, who: int) -> list[tuple[str, int]]:
    """In a process of its own: commit versions, each with blobs, some of which others store."""
    catalog = open_catalog()
    try:
        made = []
        for number in range(COMMITS):
            pack, blobs = a_pack(("shared", number), *((who, number, each) for each in range(50)))
            version = put(catalog, (who, number), packs=[pack], blobs=blobs, aliases=("best",))
            made.append((version.id, version.index))
        return made
    finally:
        catalog.close()


def commit_until_killed(open_catalog: OpenCatalog, acknowledge: Connection, who: str) -> None:
    """In a process of its own: commit, and say each time which number that got."""
    catalog = open_catalog()
    number = 0
    while True:
        pack, blobs = a_pack(*((who, number, each) for each in range(300)))
        version = put(
            catalog, (who, number), packs=[pack], blobs=blobs, commit_key=f"{who}{number}"
        )
        acknowledge.send(version.index)
        number += 1


def in_threads(*works: Callable[[], None]) -> None:
    """Run all at once, and raise what one of them raises."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


class CrowdContract:
    """Whatever happens at the same time, the catalog shows one order of it."""

    def test_c1_versions_are_dense_and_unique_when_eight_processes_commit(
        self, catalog: Catalog, open_catalog: OpenCatalog
    ) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
            futures = [pool.submit(commit_many, open_catalog, who) for who in range(PROCESSES)]
            made = [version for future in futures for version in future.result()]
        total = PROCESSES * COMMITS
        assert sorted(index for _, index in made) == list(range(total))
        newest = catalog.version("team", "data", "latest")
        assert newest.index == total - 1
        assert newest.aliases == ("best", "latest")
        found = catalog.versions(catalog.artifact("team", "data").id)
        assert {(version.id, version.index) for version in found} == set(made)
        assert catalog.totals().blobs == total * 50 + COMMITS

    def test_c2_an_alias_that_moves_always_names_one_version(self, catalog: Catalog) -> None:
        ids = [put(catalog, number, aliases=("best",)).id for number in range(2)]
        done = threading.Event()

        def move() -> None:
            try:
                for number in range(60):
                    change = VersionUpdate(add_aliases=("best",))
                    catalog.update_version(ids[number % 2], change)
            finally:
                done.set()

        def look() -> None:
            while not done.is_set():
                version = catalog.version("team", "data", "best")
                assert version.id in ids
                assert "best" in version.aliases
                found = catalog.versions(catalog.artifact("team", "data").id)
                assert sum("best" in version.aliases for version in found) == 1

        in_threads(move, move, look, look)

    def test_commits_of_one_key_at_once_make_one_version(self, catalog: Catalog) -> None:
        barrier = threading.Barrier(6)
        outcomes = []

        def retry(name: str) -> Callable[[], None]:
            def work() -> None:
                barrier.wait()
                outcomes.append(commit(catalog, name, name=name, commit_key="k"))

            return work

        in_threads(*(retry(name) for name in ("a", "a", "a", "a", "b", "b")))
        assert Counter(outcome.created for outcome in outcomes) == {True: 1, False: 5}
        assert len({outcome.version.id for outcome in outcomes}) == 1

    def test_new_names_can_be_made_at_once(self, catalog: Catalog) -> None:
        barrier = threading.Barrier(8)

        def make(number: int) -> Callable[[], None]:
            def work() -> None:
                barrier.wait()
                for each in range(4):
                    put(catalog, number, project=f"p{each}", name=f"a{number % 4}-{each}")
                    catalog.create_run(f"p{each}", name=None, job_type=None, config={})

            return work

        in_threads(*(make(number) for number in range(8)))
        assert [each.artifact_count for each in catalog.projects()] == [4] * 4
        assert {each.version_count for each in catalog.artifacts()} == {2}
        assert len(catalog.runs()) == 32

    def test_deleting_committing_and_linking_at_once_keep_latest_right(
        self, catalog: Catalog
    ) -> None:
        def work(seed: int) -> Callable[[], None]:
            random = Random(seed)

            def change() -> None:
                for number in range(25):
                    version = put(catalog, (seed, number))
                    catalog.link(version.id, "team", "registry", [])
                    if random.random() < 0.7:
                        catalog.delete_version(version.id, delete_aliases=True)

            return change

        in_threads(*(work(seed) for seed in range(4)))
        for name in ("data", "registry"):
            artifact = catalog.artifact("team", name)
            found = catalog.versions(artifact.id)
            assert artifact.version_count == len(found)
            assert artifact.latest == found[0]
        assert catalog.check() == []

    def test_w3_a_killed_commit_leaves_the_old_state_or_the_new(
        self, catalog: Catalog, open_catalog: OpenCatalog
    ) -> None:
        random = Random(1)
        context = multiprocessing.get_context("spawn")
        acknowledged: list[int] = []
        for attempt in range(4):
            receiver, sender = context.Pipe(duplex=False)
            who = f"process {attempt} commit "
            process = context.Process(
                target=commit_until_killed, args=(open_catalog, sender, who), daemon=True
            )
            process.start()
            sender.close()
            acknowledged.append(receiver.recv())
            time.sleep(random.uniform(0, 0.1))
            process.kill()
            process.join()
            while True:
                try:
                    acknowledged.append(receiver.recv())
                except (EOFError, OSError):
                    break
            receiver.close()
            found = catalog.versions(catalog.artifact("team", "data").id)
            assert [version.index for version in found] == list(range(len(found)))[::-1]
            assert set(acknowledged) <= {version.index for version in found}
            # One commit may have been done and not acknowledged, for each process killed.
            assert len(found) <= len(acknowledged) + attempt + 1
            assert catalog.totals().blobs == 300 * len(found)
            assert catalog.check() == []
            assert not commit(catalog, "again", commit_key=f"{who}0").created

    def test_no_interleaving_of_gc_and_commits_loses_a_blob(self, catalog: Catalog) -> None:
        _Crowd(catalog).run()


class _Crowd:
    """Committers that share few blobs and soon delete their versions, among collectors.

    Everybody collects at times, also between storing an object and committing it, and a
    collection may end anywhere, as if it was killed.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._objects: set[Digest] = set()
        self._working = 0
        self._lock = threading.Lock()
        self._swept = 0

    def run(self) -> None:
        """Work until enough blobs came and went; fails where a version misses its blob."""
        self._working = 3
        in_threads(*(self._committer(seed) for seed in range(3)), self._collector)
        assert self._swept >= ENOUGH_SWEPT
        self._catalog.sweep(lambda found: self._objects.discard(found.sha256))
        assert {blob.sha256 for blob in self._catalog.blobs()} <= self._objects

    def _committer(self, seed: int) -> Callable[[], None]:
        random = Random(seed)

        def work() -> None:
            try:
                for number in range(MOST_COMMITS):
                    self._commit_and_delete(random, seed, number)
                    if self._swept >= ENOUGH_SWEPT:
                        break
            finally:
                with self._lock:
                    self._working -= 1

        return work

    def _commit_and_delete(self, random: Random, seed: int, number: int) -> None:
        (blob,) = own_blobs(random.randrange(12))
        version = None
        while version is None:
            lease = self._catalog.lease(LeaseKind.INTAKE)
            try:
                reserved = self._catalog.reserve([blob.sha256])
                if reserved.doomed:
                    with suppress(_KilledError):
                        self._catalog.sweep(self._deleter(random), only=reserved.doomed)
                    continue
                reused = list(reserved.found)
                stored = [] if reused else [blob]
                self._objects.update(each.sha256 for each in stored)
                if random.random() < 0.5:
                    self._collect(random)
                # It never fails: whoever holds a lease is waited for.
                version = put(
                    self._catalog, (seed, number), tree=blob.sha256, blobs=stored, reused=reused
                )
            finally:
                lease.release()
        assert blob.sha256 in self._objects
        assert blob.sha256 in self._catalog.locate([blob.sha256])
        self._catalog.delete_version(version.id, delete_aliases=True)

    def _collector(self) -> None:
        random = Random(99)
        while self._working:
            self._collect(random)

    def _collect(self, random: Random) -> None:
        lease = self._catalog.lease(LeaseKind.COLLECTION)
        reached = {tree for _, tree in self._catalog.live_trees()}
        known = {blob.sha256 for blob in self._catalog.blobs()}
        self._catalog.pardon(sorted(reached))
        # A clock of no use: all that counts is who holds a lease.
        self._catalog.condemn(sorted(known - reached), at_ns=random.randrange(1000))
        self._catalog.doom_blobs(sorted(known - reached), condemned_before_ns=NO_GRACE_NS)
        lease.release()
        if random.random() < 0.6:
            with suppress(_KilledError):
                self._catalog.sweep(self._deleter(random))

    def _deleter(self, random: Random) -> Callable[[BlobRecord | PackRecord], None]:
        def delete(found: BlobRecord | PackRecord) -> None:
            self._objects.discard(found.sha256)
            self._swept += 1
            if random.random() < 0.2:
                raise _KilledError

        return delete


class _KilledError(Exception):
    """Stands for the end of a process."""
