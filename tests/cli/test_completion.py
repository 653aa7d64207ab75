"""Tab completion in real shells, and the words that it gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from artfs.cli.completing import SHELLS
from tests.cli.conftest import Cli

_VERSIONS = ("best", "latest", "v1", "v0")
_FILES = ("a.txt", "link", "new.txt", "sub/")
_BASH = """
source ./artfs.bash
COMP_LINE=$1 COMP_POINT=${#1}
_artfs artfs
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ZSH = """
compdef() { }
compadd() {
    [[ $1 == -S ]] && shift 2
    print -l -- ${(P)2}
}
_files() { print files }
source ./artfs.zsh
words=(${(z)1}); [[ $1 == *' ' ]] && words+=('')
CURRENT=$#words PREFIX=$words[-1]
_artfs
"""


def words(cli: Cli, *arguments: str) -> list[str]:
    """What may stand in the place of the last argument."""
    return cli.run(*arguments, env={"_ARTFS_COMPLETE": "1"}).out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("ls", ""), ["demo/", "other/"]),
        (("ls", "demo/d"), ["demo/data", "demo/data:"]),
        (("stage", "demo/d"), ["demo/data"]),
        (("history", "demo/data:"), [f"demo/data:{name}" for name in _VERSIONS]),
        (("cat", "demo/data/b"), ["demo/data/best"]),
        (("cat", "demo/data:v1/"), [f"demo/data:v1/{name}" for name in _FILES]),
        (("get", "demo/data/best/sub/r"), ["demo/data/best/sub/run.sh"]),
        (("alias", "rm", "demo/data", "b"), ["best"]),
        (("put", "-n", "ot"), ["other/"]),
        (("put", "./da"), ["@file"]),
        (("mount", "demo/data", "./m"), ["@dir"]),
        (("umou",), ["umount\tEnd a mount; what was staged becomes a version."]),
        (("ls", "--dig"), ["--digest\tShow the digests of files (with -l)."]),
        (("ls", "nothing/"), []),
        (("ls", "demo/data:v1/nothing/"), []),
        (("ls", "--store", "no-store", ""), []),
    ],
)  # fmt: skip
def test_what_may_stand_at_the_cursor(
    filled: Cli, arguments: tuple[str, ...], expected: list[str]
) -> None:
    assert words(filled, *arguments) == expected


def shell_words(cli: Cli, shell: str, program: str, line: str) -> list[str]:
    """What a shell makes of it, with the scripts that `artfs completion` prints."""
    (cli.directory / f"artfs.{shell}").write_text(cli.ok("completion", shell).out)
    commands = cli.directory / "commands"
    commands.mkdir(exist_ok=True)
    (commands / "artfs").write_text(f'#!/bin/sh\nexec {sys.executable} -m artfs "$@"\n')
    (commands / "artfs").chmod(0o755)
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", program, shell, line],
        cwd=cli.directory,
        env=cli.environment | {"PATH": f"{commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_behind_a_colon(filled: Cli) -> None:
    # A colon ends a word of bash's: what it puts in is only what stands behind.
    assert shell_words(filled, "bash", _BASH, "artfs ls demo/data:l") == ["latest"]
    assert shell_words(filled, "bash", _BASH, "artfs cat demo/data/v1/s") == ["demo/data/v1/sub/"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_completes_names_and_paths(filled: Cli) -> None:
    assert shell_words(filled, "zsh", _ZSH, "artfs ls demo/data:l") == ["demo/data:latest"]
    assert shell_words(filled, "zsh", _ZSH, "artfs ls ") == ["demo/", "other/"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish_completes_names_and_paths(filled: Cli) -> None:
    program = "source ./artfs.fish; complete -C $argv[2]"
    assert shell_words(filled, "fish", program, "artfs ls demo/data:l") == ["demo/data:latest"]


def test_every_shell_can_read_its_script(cli: Cli) -> None:
    for shell in SHELLS:
        if shutil.which(shell) is not None:
            text = cli.ok("completion", shell).out
            subprocess.run([shell, "-n"], input=text, text=True, check=True)
    cli.fails(2, "completion", "csh", says="'csh'")
