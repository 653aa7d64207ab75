"""The examples of every command's `--help` work: each is run, in a place that has what it names."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.system.mountinfo import mounted_at
from tests.cli.conftest import Cli
from tests.cli.test_help import commands
from tests.support.foreign import (
    dvc_directory,
    fill_md5_cache,
    hub_repository,
    wandb_manifest,
    write_files,
)

_SERVERS = ("postgresql:", "s3:", "https:")
_UNREACHABLE = {3, 7, 8}
"""What an example ends with whose servers are not there; 2 and 10 would say that it is wrong."""
_STAGED = {"abort", "commit"}
_KEPT = {"staging resume", "staging commit", "staging drop", "staging salvage"}
_MOUNTED = {"umount", "status"}
_ROOTS = ("/mnt", "/data", "/scratch")
_AREA = "1f3a9c04"


def examples() -> list[tuple[str, str]]:
    """Every example, with the name of its command."""
    return [
        (name, line.strip())
        for name, command in commands()
        for line in (command.help or "").splitlines()
        if line.strip().startswith("artfs ")
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the store and the files that the examples speak of."""
    cli = Cli(tmp_path_factory.mktemp("examples"))
    digits = cli.directory / "digits"
    for number in range(4):
        for name in ("7", "train"):
            (digits / name).mkdir(parents=True, exist_ok=True)
            (digits / name / f"{number}.txt").write_text(f"{number}")
        (digits / f"{number}.png").write_bytes(b"png%d" % number)
        cli.ok("put", digits, "-n", "demo/digits")
    cli.ok("alias", "add", "demo/digits:v1", "best")
    for name in ("model.pt", "labels.json", "README.md"):
        (cli.directory / name).write_text(name)
    cli.ok("put", cli.directory / "model.pt", "-n", "demo/model", "-t", "model")
    listed = {"a.txt": b"a", "b.txt": b"b"}
    write_files(cli.directory / "download", listed)
    fill_md5_cache(cli.directory / "artifacts" / "obj" / "md5", listed)
    for place in (cli.directory, cli.directory / "download"):
        (place / "wandb_manifest.json").write_text(wandb_manifest(listed))
    dvc_directory(cli.directory, "data", listed, legacy=False)
    hub_repository(
        cli.directory / "hub", "models--google--bert", listed, large=frozenset(), revision="main"
    )
    (cli.directory / "train.py").write_text("print('trained')\n")
    return cli.directory


@pytest.fixture
def place(tmp_path: Path, store: Path) -> Iterator[Cli]:
    shutil.copytree(store, tmp_path, symlinks=True, dirs_exist_ok=True)
    cli = Cli(tmp_path)
    for name in ("artfs", "digits", "demo", "new", "model"):
        (tmp_path / "mnt" / name).mkdir(parents=True)
    yield cli
    for path in (tmp_path / "mnt").iterdir():
        if mounted_at(path) is not None:
            cli.run("umount", "--force", path)


def prepared(cli: Cli, name: str) -> str:
    """See to what the command works on; the id of a staging area that is kept, if there is one."""
    new = cli.directory / "mnt" / "new"
    if name in _STAGED | _KEPT:
        area = str(cli.ok("stage", "demo/digits", new, "--json").json["staging"]["id"])
        (new / "file").write_text("staged")
        if name in _KEPT:
            with (new / "half").open("w"):
                cli.run("umount", "--force", new)
        return area
    if name in _MOUNTED:
        cli.ok("mount", cli.directory / "mnt" / "artfs")
    if name == "keys revoke":
        cli.ok("keys", "add", "ada")
    return _AREA


def serve_until_told(cli: Cli, words: list[str], said: str) -> None:
    """Let a server begin, at a port that is free, and end it."""
    process = cli.popen(*words, "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    assert said in process.stdout.readline()
    process.terminate()
    assert process.wait(timeout=30) == 0
    process.communicate()


@pytest.mark.parametrize(("name", "example"), examples())
def test_an_example_of_the_help_works(place: Cli, name: str, example: str) -> None:
    area = prepared(place, name)
    text = example.replace(_AREA, area)
    for root in _ROOTS:
        text = text.replace(f"{root}/", f"{place.directory}{root}/")
    words = shlex.split(text)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    if name in {"abort", "rm", "staging drop"}:
        words.insert(len(name.split()), "--yes")
    # A test must not end what others have mounted: tests/cli/test_system.py does it in namespaces.
    assert not {"-a", "--all"} & set(words) or name != "umount"
    if example == "artfs serve" or example.startswith("artfs metrics --listen"):
        serve_until_told(place, words, "serving")
        return
    if name == "web":
        serve_until_told(place, words, "showing")
        return
    done = place.run(*words)
    if any(server in example for server in _SERVERS):
        assert done.code in {0, *_UNREACHABLE}, done
    elif name == "staging commit":
        # What is kept here has half a file, which the command names.
        assert (done.code, "half" in done.err) == (4, True), done
    else:
        assert done.code == 0, done
