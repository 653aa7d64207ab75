"""A version as an archive and as an image, read back by the tools that people have for them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def tree(root: Path) -> dict[str, tuple[str, object]]:
    """What is below a directory: kind, and content, target or mode of each."""
    found: dict[str, tuple[str, object]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", None)
        else:
            status = path.stat()
            found[name] = (
                "file",
                (path.read_bytes(), status.st_mode & 0o777, int(status.st_mtime)),
            )
    return found


def test_an_archive_holds_what_a_download_does_and_is_the_same_each_time(filled: Cli) -> None:
    filled.ok("get", "demo/data:v0", "--root", filled.directory / "out")
    large = filled.directory / "large"
    large.write_bytes(os.urandom(9 << 20))
    filled.ok("put", large, "-n", "demo/large", "-r", f"copy=file://{large}")
    archive = filled.directory / "v0.tar"
    said = filled.ok("export", "demo/data:v0", "--tar", archive).out
    assert said == f"demo/data:v0: 3 files, 4.9 KiB in {archive}\n"
    (filled.directory / "unpacked").mkdir()
    command = ["tar", "-xpf", str(archive), "-C", str(filled.directory / "unpacked")]
    subprocess.run(command, check=True)
    assert tree(filled.directory / "unpacked") == tree(filled.directory / "out")
    packed = filled.directory / "again.tar.gz"
    filled.ok("export", "demo/data/v0", "--tar", packed)
    first = packed.read_bytes()
    filled.ok("export", "demo/data:v0", "--tar", packed)
    assert packed.read_bytes() == first
    done = subprocess.run(
        filled.command("export", "demo/large", "--tar", "-"),
        env=filled.environment,
        capture_output=True,
        check=True,
    )
    listed = subprocess.run(["tar", "-xO"], input=done.stdout, capture_output=True, check=True)
    assert listed.stdout == large.read_bytes() * 2


def test_a_part_is_exported_with_the_directories_above_it(filled: Cli) -> None:
    part = filled.directory / "part.tar"
    filled.ok("export", "demo/data:v1/sub/run.sh", "--tar", part)
    with tarfile.open(part) as archive:
        assert [(each.name, each.mode) for each in archive] == [
            ("sub", 0o755),
            ("sub/run.sh", 0o755),
        ]


@pytest.mark.skipif(shutil.which("umoci") is None, reason="no umoci here")
def test_an_image_is_read_by_umoci_and_equals_the_version(filled: Cli) -> None:
    filled.ok("get", "demo/data:v1", "--root", filled.directory / "out")
    image = filled.directory / "image"
    done = filled.ok("export", "demo/data:best", "--oci", image, "--json").json
    assert (done["file_count"], done["path"]) == (3, "")
    index = json.loads((image / "index.json").read_text())
    assert index["manifests"][0]["digest"] == done["image_digest"]
    bundle = filled.directory / "bundle"
    user = [] if os.geteuid() == 0 else ["--rootless"]
    subprocess.run(
        ["umoci", "unpack", *user, "--image", f"{image}:v1", str(bundle)],
        env=filled.environment,
        capture_output=True,
        check=True,
    )
    assert tree(bundle / "rootfs") == tree(filled.directory / "out")
    again = filled.directory / "again"
    same = filled.ok("export", "demo/data:v1", "--oci", again, "--json").json["image_digest"]
    assert same == done["image_digest"]


def test_what_cannot_be_exported_leaves_nothing_behind(filled: Cli) -> None:
    image = filled.directory / "image"
    image.mkdir()
    (image / "mine").write_text("mine")
    before = sorted(filled.directory.iterdir())
    filled.fails(10, "export", "demo/data", says="wants one of --tar and --oci")
    filled.fails(4, "export", "demo/data", "--oci", image, says="is there already")
    archive = filled.directory / "x.tar"
    filled.fails(3, "export", "demo/data:v0/no", "--tar", archive, says="no such file")
    filled.fails(12, "export", "demo/data", "--tar", "x.zip", says=".zip is not made")
    filled.fails(3, "export", "demo/data", "--tar", "no/x.tar", says="no/x.tar")
    for pack in (filled.store / "packs").glob("*/*"):
        pack.chmod(0o600)
        data = pack.read_bytes()
        pack.write_bytes(data.replace(b"alpha\n", b"aleph\n"))
    filled.fails(5, "export", "demo/data:v0", "--tar", archive)
    filled.fails(5, "export", "demo/data:v0", "--oci", filled.directory / "other")
    assert sorted(filled.directory.iterdir()) == before
