"""The examples for containers parse, run what exists, and have the rights that the page names."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from artfs.cli.app import group
from artfs.mounts.options import parse_options

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def pods(path: Path) -> Iterator[dict[str, Any]]:
    """The specification of each pod, also of those that a DaemonSet makes."""
    for each in documents(path):
        if each["kind"] in {"Pod", "DaemonSet"}:
            spec = each["spec"]
            yield spec["template"]["spec"] if "template" in spec else spec


def containers(path: Path) -> Iterator[dict[str, Any]]:
    for pod in pods(path):
        yield from (*pod.get("initContainers", ()), *pod["containers"])


def propagation(container: dict[str, Any]) -> set[str]:
    found = {each.get("mountPropagation") for each in container["volumeMounts"]}
    return {each for each in found if each}


def mounting(path: Path) -> list[dict[str, Any]]:
    return [each for each in containers(path) if each["image"] == "artfs"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_who_mounts_for_others_is_privileged_and_who_reads_has_no_rights(path: Path) -> None:
    assert mounting(path)
    for each in containers(path):
        rights = each["securityContext"]
        if each["image"] == "artfs":
            assert propagation(each) == {"Bidirectional"}
            assert rights == {"privileged": True}
        else:
            assert propagation(each) == {"HostToContainer"}
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert (rights["runAsNonRoot"], rights["allowPrivilegeEscalation"]) == (True, False)
    for words in ("privileged: true", "mountPropagation: Bidirectional", "HostToContainer"):
        assert words in PAGE
        assert words in path.read_text("utf-8")
    assert f"(examples/{path.name})" in PAGE


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_what_the_containers_run_is_a_command_of_artfs(path: Path) -> None:
    for each in mounting(path):
        (line,) = each["args"]
        making, _, running = line.partition(" && exec ")
        words = shlex.split(running)
        assert words[0] == "artfs"
        name, command, arguments = group.resolve_command(click.Context(group), words[1:])
        assert command is not None
        context = command.make_context(name, list(arguments))
        place = str(context.params["words"][-1])
        assert shlex.split(making) == ["mkdir", "-p", place]
        assert context.params["foreground"]
        assert parse_options(context.params["options"]).allow_other
        volume = next(one for one in each["volumeMounts"] if "mountPropagation" in one)
        assert place.startswith(f"{volume['mountPath']}/")
        for probe in ("startupProbe", "livenessProbe"):
            assert each[probe]["exec"]["command"][-1] == f"mountpoint -q {place} && stat -f {place}"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_volumes_that_are_mounted_are_those_that_a_pod_has(path: Path) -> None:
    for pod in pods(path):
        has = {each["name"] for each in pod["volumes"]}
        used = {
            volume["name"]
            for each in (*pod.get("initContainers", ()), *pod["containers"])
            for volume in each["volumeMounts"]
        }
        assert used == has
    places = [each["mountPath"] for one in mounting(path) for each in one["volumeMounts"]]
    image = (EXAMPLES / "Dockerfile").read_text("utf-8")
    assert "XDG_CACHE_HOME=/cache" in image
    assert "/cache" in places


def test_the_image_is_built_from_what_the_package_needs_with_extras_that_exist() -> None:
    text = (EXAMPLES / "Dockerfile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = {
        word
        for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE)
        for word in line.split()
    }
    needed = {"pyproject.toml", project["readme"], *project["license-files"], "artfs"}
    assert copied == needed
    assert all((ROOT / each).exists() for each in copied)
    for extra in re.findall(r"\[([a-z,]+)\]", text):
        assert set(extra.split(",")) <= project["optional-dependencies"].keys()
    lowest = project["requires-python"].removeprefix(">=")
    assert set(re.findall(r"^FROM python:(\S+)-slim", text, re.MULTILINE)) == {lowest}
    assert "(examples/Dockerfile)" in PAGE
