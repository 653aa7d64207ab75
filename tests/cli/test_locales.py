"""Names are UTF-8 in every version and on every disk, in whatever locale they are put and got."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

NAME = "é 数.txt"
DIRECTORY = "größe"

SCRIPT = """
import sys, artfs
run = artfs.init(project="demo")
artifact = artfs.Artifact("sdk", "dataset")
artifact.add_dir(sys.argv[1])
with artifact.new_file("gr\\u00f6\\u00dfe/\\u6570.txt") as file:
    file.write("content")
run.log_artifact(artifact)
root = artifact.download(sys.argv[2])
artifact.verify(root)
artifact.checkout(root)
for entry in artifact.manifest.entries.values():
    assert open(entry.download(sys.argv[2] + "-one"), "rb").read() == b"content"
"""


@pytest.fixture(scope="module")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale in which a name's bytes are no UTF-8 to Python."""
    place = tmp_path_factory.mktemp("locales")
    subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", place / "en_US.ISO-8859-1"],
        check=True,
        capture_output=True,
    )
    return {"LOCPATH": str(place), "LC_ALL": "en_US.ISO-8859-1"}


@pytest.fixture(params=["latin-1", "ascii names", "no utf-8 mode", "ascii output"])
def cli_elsewhere(request: pytest.FixtureRequest, cli: Cli, latin_1: dict[str, str]) -> Cli:
    """A command line that runs in another locale, beside a directory with a name in UTF-8."""
    changes = {
        "latin-1": latin_1,
        "ascii names": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "no utf-8 mode": {"PYTHONUTF8": "0"},
        "ascii output": {"PYTHONIOENCODING": "ascii"},
    }[request.param]
    cli.environment.update(changes)
    below = cli.directory / "data" / DIRECTORY
    below.mkdir(parents=True)
    (below / NAME).write_bytes(b"content")
    (below / "link").symlink_to(NAME)
    return cli


def names_below(directory: Path) -> list[bytes]:
    """The bytes of all paths below a directory, as the system has them."""
    return sorted(os.fsencode(path.relative_to(directory)) for path in directory.rglob("*"))


MADE = f"{DIRECTORY}/数.txt".encode()
PATHS = [DIRECTORY.encode(), f"{DIRECTORY}/link".encode(), f"{DIRECTORY}/{NAME}".encode()]


def test_names_are_utf8_in_any_locale(cli_elsewhere: Cli) -> None:
    cli = cli_elsewhere
    cli.ok("put", "data", "-n", "demo/data")
    assert list(cli.ok("manifest", "demo/data").json["contents"]) == [f"{DIRECTORY}/{NAME}"]
    cli.ok("ls", f"demo/data:v0/{DIRECTORY}")
    cli.ok("get", "demo/data", "--root", "copy")
    assert names_below(cli.directory / "copy") == PATHS
    assert (cli.directory / "copy" / DIRECTORY / "link").readlink() == Path(NAME)
    assert not cli.ok("put", "copy", "-n", "demo/data", "--json").json["created"]
    cli.ok("put", f"data/{DIRECTORY}/{NAME}", "-n", "demo/one")
    assert list(cli.ok("manifest", "demo/one").json["contents"]) == [NAME]


def test_the_sdk_keeps_names_in_utf8_in_any_locale(cli_elsewhere: Cli) -> None:
    cli = cli_elsewhere
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "data", "copy"],
        env=cli.environment,
        cwd=cli.directory,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    # The SDK follows links.
    assert names_below(cli.directory / "copy") == [*PATHS, MADE]
    assert names_below(cli.directory / "copy-one") == [*PATHS, MADE]
    kept = cli.ok("manifest", "demo/sdk").json["contents"]
    assert sorted(path.encode() for path in kept) == [*PATHS[1:], MADE]


def test_what_the_output_cannot_show_is_no_error(cli: Cli) -> None:
    cli.environment["PYTHONIOENCODING"] = "ascii"
    cli.fails(3, "ls", "demo/größe:v0", says="artfs: ")
    cli.fails(3, "put", "größe", "-n", "demo/data", says="artfs: ")


@pytest.mark.parametrize("encoding", ["idna", "undefined"])
def test_an_encoding_that_cannot_show_every_text_is_no_error(cli: Cli, encoding: str) -> None:
    cli.environment["PYTHONIOENCODING"] = encoding
    cli.fails(3, "ls", "demo/größe:v0")
    cli.ok("--help")
