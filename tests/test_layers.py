"""Imports point down only, as docs/design.md draws the layers; read from the source, not run.

Every import counts: inside functions, under TYPE_CHECKING and through `import_module("…")`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"credentials", "failpoints", "forks"}),
    frozenset({"decoding", "encoding"}),
    frozenset({"errors"}),
    frozenset({"model", "settings"}),
    frozenset({"targets"}),
    frozenset({"system"}),
    frozenset({"manifest"}),
    frozenset({"catalog", "blobs", "references"}),
    frozenset({"wandbstore"}),
    frozenset({"content", "foreign"}),
    frozenset({"repository"}),
    frozenset({"upkeep", "staging", "mounts"}),
    frozenset({"sdk", "media", "data_types", "plot", "artfs"}),
    frozenset({"filesystem"}),
    frozenset({"server"}),
    frozenset({"web"}),
    frozenset({"engine"}),
    frozenset({"vfs"}),
    frozenset({"fuse"}),
    frozenset({"daemon"}),
    frozenset({"cli", "__main__"}),
)
"""From the bottom; `artfs` is the package itself, whose names are those of the SDK."""

RANKS = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}

FREE = "testing"
"""May import everything; nothing imports it."""

ONLY_IN: dict[str, frozenset[str]] = {
    "trio": frozenset({"engine", "vfs", "fuse", "daemon", "cli", FREE}),
    "pyfuse3": frozenset({"fuse", "daemon"}),
    "click": frozenset({"cli", "daemon"}),
    "rich": frozenset({"cli"}),
    **dict.fromkeys(("fsspec", "upath"), frozenset({"filesystem"})),
    **dict.fromkeys(("uvicorn", "graphql", "anyio"), frozenset({"server"})),
    "starlette": frozenset({"server", "web"}),
    **dict.fromkeys(("jinja2", "markdown_it", "nh3"), frozenset({"web"})),
}


def imported_modules(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of every module, or name of a module, that a source file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and _called(node).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield node.lineno, str(argument.value)


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def layer_of(module: str) -> str:
    """The package or module of artfs that a full name belongs to: `artfs.vfs.tree` → `vfs`."""
    parts = module.split(".")
    if len(parts) == 1:
        return "artfs"
    return parts[1] if parts[1] in RANKS or parts[1] == FREE else "artfs"


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What the imports of one module of artfs break, as `line: what`."""
    own = layer_of(module)
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for line, name in imported_modules(ast.parse(source), package):
        top = name.partition(".")[0]
        if top in ONLY_IN and own not in ONLY_IN[top]:
            found.append(f"{module}:{line}: {own} imports {top}")
        if top != "artfs" or own == FREE:
            continue
        other = layer_of(name)
        if other == FREE or RANKS[other] > RANKS[own]:
            found.append(f"{module}:{line}: {own} imports {name}")
    return found


def module_name(path: Path) -> str:
    """`artfs.vfs.tree` for `artfs/vfs/tree.py`, `artfs.vfs` for its `__init__.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = sorted((ROOT / "artfs").rglob("*.py"))


def test_imports_point_down_only() -> None:
    found = [
        line
        for path in SOURCES
        for line in violations(
            path.read_text("utf-8"), module_name(path), is_package=path.name == "__init__.py"
        )
    ]
    assert not found, "\n".join(found)


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each needs every other one, by way of whatever."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for other in imports.get(waiting.pop(), set()) - seen:
                seen.add(other)
                waiting.append(other)
        return seen

    reach = {module: reached(module) for module in imports}
    found: list[list[str]] = []
    left = set(imports)
    while left:
        module = min(left)
        group = {module} | {other for other in reach[module] & left if module in reach[other]}
        left -= group
        if len(group) > 1:
            found.append(sorted(group))
    return found


def module_imports(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Which of the modules each of them imports, wherever in it; a package's own is not counted."""
    found: dict[str, set[str]] = {}
    for module, source in sources.items():
        names = {name for _, name in imported_modules(ast.parse(source), module.rpartition(".")[0])}
        known = {name if name in sources else name.rpartition(".")[0] for name in names}
        found[module] = (known & sources.keys()) - {module}
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    # The package itself only hands out the names of the SDK, each when it is asked for.
    sources = {
        module_name(path): path.read_text("utf-8") for path in SOURCES if path.name != "__init__.py"
    }
    found = circles(module_imports(sources))
    assert not found, "\n".join(" ".join(group) for group in found)


def test_the_test_of_circles_can_fail() -> None:
    sources = {
        "artfs.a": "def late():\n    from artfs.b import B",
        "artfs.b": "if TYPE_CHECKING:\n    from artfs import c",
        "artfs.c": "import artfs.a",
        "artfs.d": "from artfs.a import A",
    }
    assert circles(module_imports(sources)) == [["artfs.a", "artfs.b", "artfs.c"]]


def test_every_package_has_a_layer() -> None:
    names = {
        path.stem for path in (ROOT / "artfs").iterdir() if path.is_dir() or path.suffix == ".py"
    }
    assert names - {"__pycache__", "__init__", "py"} <= {*RANKS, FREE}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("artfs.vfs.tree", "import artfs.fuse.inodes"),
        ("artfs.vfs.tree", "from artfs.daemon import session"),
        ("artfs.vfs.tree", "from artfs import daemon"),
        ("artfs.vfs.tree", "from ..fuse.inodes import Inodes"),
        ("artfs.vfs.tree", "def late():\n    from artfs.fuse import inodes"),
        ("artfs.vfs.tree", "if TYPE_CHECKING:\n    from artfs.fuse import inodes"),
        ("artfs.vfs.tree", "import_module('artfs.cli.main')"),
        ("artfs.vfs.tree", "importlib.import_module('artfs.cli.main')"),
        ("artfs.repository.facade", "import trio"),
        ("artfs.repository.facade", "import artfs"),
        ("artfs.repository.facade", "from artfs import Artifact"),
        ("artfs.errors", "from artfs.model import Digest"),
        ("artfs.vfs.tree", "import pyfuse3"),
        ("artfs.vfs.tree", "from pyfuse3 import EntryAttributes"),
        ("artfs.cli.main", "from artfs.testing import faults"),
        ("artfs.testing.faults", "import pyfuse3"),
    ],
)
def test_the_layer_test_can_fail(module: str, source: str) -> None:
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("artfs.fuse.reading", "import pyfuse3, trio\nfrom artfs.vfs import tree"),
        ("artfs.engine.fetch", "import trio\nfrom artfs.repository.facade import Repository"),
        ("artfs.references.file", "from artfs.system.oserrors import translate_os_errors"),
        ("artfs.cli.mount", "import_module('artfs.mounts.client')"),
        ("artfs.testing.stores", "from artfs.daemon import session"),
        ("artfs.sdk.run", "from artfs.media.image import Image\nimport artfs"),
    ],
)
def test_what_points_down_or_sideways_is_allowed(module: str, source: str) -> None:
    assert not violations(source, module)


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from . import one\nfrom .two import three\nfrom .. import four")
    assert [name for _, name in imported_modules(tree, "artfs.vfs")] == [
        "artfs.vfs.one",
        "artfs.vfs.two.three",
        "artfs.four",
    ]


def test_locks_and_fork_hooks_come_from_one_module_alone() -> None:
    """A lock that artfs/forks.py does not know may be held for ever in a forked child."""
    wrong = {"Lock", "RLock", "threading.Lock", "threading.RLock", "os.register_at_fork"}
    found = {
        f"{module_name(path)}: {ast.unparse(node)}: make it by forks.lock() or forks.turn()"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in wrong
    }
    assert not {each for each in found if not each.startswith(("artfs.forks:", "artfs.testing."))}
