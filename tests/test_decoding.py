"""Types are decoded into only once msgspec has looked into them, by one thread."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.decoding import analysed

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "artfs" / "decoding.py"

_RACE = """
import sys, threading
import msgspec
from artfs.decoding import analysed

sys.setswitchinterval(1e-6)

def new_type():
    global Inner
    class Inner(msgspec.Struct):
        a: "int"
        b: "list[str]"
    class Outer(msgspec.Struct):
        inner: "Inner"
        more: "dict[str, int]"
        last: "tuple[int, ...] | None" = None
    return Outer

def decode(kind, start):
    start.wait()
    value = {"inner": {"a": 1, "b": ["c"]}, "more": {"k": 1}}
    assert msgspec.convert(value, NAMED).inner.a == 1

for _ in range(300):
    kind, start = new_type(), threading.Barrier(2)
    threads = [threading.Thread(target=decode, args=(kind, start)) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
print("done")
"""


def test_threads_that_come_to_a_type_first_at_once_decode_into_it() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _RACE.replace("NAMED", "analysed(kind)")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_type_that_cannot_be_decoded_into_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            analysed(dict[str, int] | dict[int, str])


def unprepared(source: str) -> list[int]:
    """The lines that name a type to msgspec, but not through `analysed`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        kind = next((each.value for each in node.keywords if each.arg == "type"), None)
        if called == "msgspec.convert":
            kind = kind or node.args[1]
        elif called in {"msgspec.json.Decoder", "msgspec.msgpack.Decoder"}:
            kind = kind or node.args[0]
        elif called not in {"msgspec.json.decode", "msgspec.msgpack.decode"}:
            continue
        if kind is not None and not ast.unparse(kind).startswith("analysed("):
            found.append(node.lineno)
    return found


def test_every_type_is_named_through_analysed() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "artfs").rglob("*.py"))
        if path != OWN
        for line in unprepared(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


def test_msgspec_is_not_imported_in_parts() -> None:
    """So that the test above sees each use."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "artfs").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("msgspec")
        and {each.name for each in node.names} & {"json", "msgpack", "convert"}
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("msgspec.convert(x, Kind)", [1]),
        ("msgspec.convert(x, analysed(Kind))", []),
        ("msgspec.json.decode(x)", []),
        ("msgspec.json.decode(x, type=Kind)", [1]),
        ("msgspec.msgpack.Decoder(Kind)", [1]),
        ("msgspec.msgpack.Decoder(analysed(Kind | int)).decode", []),
    ],
)
def test_a_type_that_is_not_analysed_is_found(source: str, lines: list[int]) -> None:
    assert unprepared(source) == lines
