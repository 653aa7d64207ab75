from __future__ import annotations

from pathlib import Path

import pytest

from artfs.mounts.refusals import is_crawled


@pytest.mark.parametrize(
    ("text", "crawled"),
    [
        ('PRUNE_BIND_MOUNTS="yes"\nPRUNEFS="NFS afs fuse.sshfs"\nPRUNEPATHS="/tmp"\n', True),
        ('PRUNEFS="NFS afs fuse.artfs fuse.sshfs"\n', False),
        (' PRUNEFS = "NFS FUSE.ARTFS"\n', False),
        ('# PRUNEFS="fuse.artfs"\nPRUNEFS="nfs"\n', True),
        ('PRUNEFS="fuse.artfs-other"\n', True),
        ("", True),
    ],
)
def test_updatedb_crawls_mounts_unless_it_is_told_their_type(
    tmp_path: Path, text: str, crawled: bool
) -> None:
    conf = tmp_path / "updatedb.conf"
    conf.write_text(text)
    assert is_crawled(conf) is crawled


def test_without_updatedb_nothing_is_crawled(tmp_path: Path) -> None:
    assert not is_crawled(tmp_path / "updatedb.conf")
