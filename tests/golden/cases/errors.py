"""Calls that fail: drafts, finalized artifacts, names, files, references, tables, media."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from .keys import people, visits
from .pictures import green, stored
from .registry import error, fact, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _draft(wandb: Any) -> Any:
    return wandb.Artifact("golden", type="dataset")


for _number, _name in enumerate(["", "a b", "a/b", "a:b", "caf\u00e9", "a\nb", "a@b", " a", 5]):

    @error(f"errors.name-{_number}")
    def bad_name(wandb: Any, root: Path, name: Any = _name) -> Any:
        return wandb.Artifact(name, type="dataset")


for _attribute in ("version", "commit_hash", "aliases"):

    @error(f"errors.draft-{_attribute}")
    def draft_attribute(wandb: Any, root: Path, name: str = _attribute) -> Any:
        return getattr(_draft(wandb), name)


for _method, _arguments in {
    "get": ("x",),
    "get_path": ("x",),
    "__getitem__": ("x",),
    "download": (),
    "checkout": (),
    "verify": (),
    "delete": (),
    "wait": (),
    "used_by": (),
    "logged_by": (),
    "json_encode": (),
    "link": ("portfolio",),
}.items():

    @error(f"errors.draft-{_method.strip('_')}")
    def draft_method(
        wandb: Any, root: Path, name: str = _method, given: tuple[str, ...] = _arguments
    ) -> Any:
        return getattr(_draft(wandb), name)(*given)


@error("errors.draft-set-aliases")
def draft_set_aliases(wandb: Any, root: Path) -> Any:
    _draft(wandb).aliases = ["x"]


@fact("errors.draft-values")
def draft_values(wandb: Any, root: Path) -> Any:
    """What a draft does answer."""
    artifact = wandb.Artifact("golden", "dataset", description="d", metadata={"a": 1})
    names = ("id", "name", "type", "description", "metadata", "state", "size", "source_version")
    return {name: getattr(artifact, name) for name in names}


@fact("errors.attributes")
def attributes(wandb: Any, root: Path) -> Any:
    """The exception says which artifact and which attribute."""
    artifact = _draft(wandb)
    try:
        artifact.get_path("x")
    except AttributeError as caught:
        return [caught.name, getattr(caught, "obj", None) is artifact]
    return None


ADDING: dict[str, Callable[[Any, Any, Path], Any]] = {
    "add": lambda w, a, r: a.add(w.Html("x"), "x"),
    "add-wrong": lambda w, a, r: a.add(5, "x"),
    "add-file": lambda w, a, r: a.add_file(str(r / "missing")),
    "add-dir": lambda w, a, r: a.add_dir(str(r / "missing")),
    "add-reference": lambda w, a, r: a.add_reference("no-uri"),
    "new-file": lambda w, a, r: a.new_file("x").__enter__(),
    "set-item": lambda w, a, r: a.__setitem__("x", w.Html("x")),
}
for _label, _step in ADDING.items():
    for _how in ("finalize", "digest", "manifest"):

        @error(f"errors.final-by-{_how}-{_label}")
        def final(wandb: Any, root: Path, how: str = _how, step: Any = _step) -> Any:
            artifact = _draft(wandb)
            reached = getattr(artifact, how)
            if how == "finalize":
                reached()
            return step(wandb, artifact, root)


def _twice(wandb: Any, root: Path) -> Any:
    """Return a draft with `x`, beside another `x` on disk."""
    write(root, {"x": b"one", "other/x": b"two"})
    artifact = _draft(wandb)
    artifact.add_file(str(root / "x"))
    return artifact


def _new_file(artifact: Any, text: str = "", **options: Any) -> None:
    """Write `x` through new_file."""
    with artifact.new_file("x", **options) as file:
        file.write(text)


def _new_twice(artifact: Any) -> None:
    """Open the same new file a second time."""
    _new_file(artifact)
    _new_file(artifact)


FILES: dict[str, Callable[[Any, Any, Path], Any]] = {
    "missing-file": lambda w, a, r: a.add_file(str(r / "missing")),
    "file-is-directory": lambda w, a, r: a.add_file(str(r / "other")),
    "missing-directory": lambda w, a, r: a.add_dir(str(r / "missing")),
    "directory-is-file": lambda w, a, r: a.add_dir(str(r / "x")),
    "twice": lambda w, a, r: a.add_file(str(r / "other" / "x")),
    "twice-by-name": lambda w, a, r: a.add_file(str(r / "other" / "x"), name="x"),
    "twice-by-directory": lambda w, a, r: a.add_dir(str(r / "other")),
    "twice-by-reference": lambda w, a, r: a.add_reference(f"file://{r}/other/x"),
    "twice-by-new-file": lambda w, a, r: _new_file(a, "two"),
    "new-file-twice": lambda w, a, r: _new_twice(_draft(w)),
    "new-file-encoding": lambda w, a, r: _new_file(_draft(w), "caf\u00e9", encoding="ascii"),
    "no-uri": lambda w, a, r: a.add_reference(str(r / "x")),
    "empty-uri": lambda w, a, r: a.add_reference(""),
    "unknown-scheme": lambda w, a, r: a.add_reference("odd://host/x"),
    "missing-target": lambda w, a, r: a.add_reference(f"file://{r}/missing"),
    "missing-named": lambda w, a, r: a.add_reference(f"file://{r}/missing", name="n"),
    "max-objects": lambda w, a, r: a.add_reference(f"file://{r}", max_objects=1),
}
for _label, _step in FILES.items():

    @error(f"errors.{_label}")
    def files(wandb: Any, root: Path, step: Any = _step) -> Any:
        return step(wandb, _twice(wandb, root), root)


def _keyed(wandb: Any) -> Any:
    """Return a table whose column `id` is its key."""
    table = people(wandb)
    table.set_pk("id")
    return table


def _second_key(table: Any) -> None:
    """Make a second column, of text, a key as well."""
    table.add_column("name", ["a", "b"])
    table.set_pk("name")


def _own_key(table: Any) -> None:
    """Make a column refer to the table that it is in."""
    table.set_fk("who", table, "n")


TABLES: dict[str, Callable[[Any], Any]] = {
    "short-row": lambda w: w.Table(columns=["a", "b"], data=[[1]]),
    "long-row": lambda w: w.Table(columns=["a"]).add_data(1, 2),
    "columns-tuple": lambda w: w.Table(columns=("a",)),
    "columns-float": lambda w: w.Table(columns=[1.5]),
    "data-tuple": lambda w: w.Table(columns=["a"], data=((1,),)),
    "mixed": lambda w: w.Table(columns=["a", "b"], data=[[1, "x"], ["y", 2]]),
    "bool-in-int": lambda w: w.Table(columns=["a"], data=[[1], [True]]),
    "int-in-bool": lambda w: w.Table(columns=["a"], data=[[True], [1]]),
    "number-in-list": lambda w: w.Table(columns=["a"], data=[[[1]], [2]]),
    "list-elements": lambda w: w.Table(columns=["a"], data=[[[1]], [[2, "x", None]]]),
    "dict-keys": lambda w: w.Table(columns=["a"], data=[[{"a": 1}], [{"b": 1}]]),
    "dict-values": lambda w: w.Table(columns=["a"], data=[[{"a": 1}], [{"a": "x", "z": 2}]]),
    "dict-missing": lambda w: w.Table(columns=["a"], data=[[{"a": 1, "b": 1}], [{"a": 1}]]),
    "union": lambda w: w.Table(columns=["a"], data=[[1.5], [[1]]], dtype=[[int, str]]),
    "const": lambda w: w.Table(columns=["a"], data=[[6]], dtype=[5]),
    "dtype": lambda w: w.Table(columns=["a"], data=[["x"]], dtype=int),
    "any-required": lambda w: w.Table(
        columns=["a"], data=[[None]], allow_mixed_types=True, optional=False
    ),
    "class-id": lambda w: w.Table(
        columns=["a"], data=[[3]], dtype=[w.Classes([{"id": 1, "name": "a"}]).get_type()]
    ),
    "add-column-length": lambda w: people(w).add_column("x", [1]),
    "add-column-taken": lambda w: people(w).add_column("id", [1, 2]),
    "add-column-tuple": lambda w: people(w).add_column("x", (1, 2)),
    "add-column-mixed": lambda w: people(w).add_column("x", [1, "x"]),
    "cast": lambda w: people(w).cast("age", str),
    "cast-missing": lambda w: people(w).cast("x", str),
    "get-column-missing": lambda w: people(w).get_column("x"),
    "index-ref": lambda w: people(w).index_ref(2),
    "pk-missing": lambda w: people(w).set_pk("x"),
    "pk-number": lambda w: people(w).set_pk("age"),
    "pk-second": lambda w: _second_key(_keyed(w)),
    "pk-none": lambda w: _keyed(w).add_data(None, 1),
    "fk-same-table": lambda w: _own_key(visits(w)),
    "fk-missing": lambda w: visits(w).set_fk("who", people(w), "x"),
    "fk-on-pk": lambda w: _keyed(w).set_fk("id", visits(w), "who"),
    "fk-number": lambda w: visits(w).set_fk("n", people(w), "id"),
    "join-key": lambda w: w.JoinedTable(people(w), people(w), ("id", "id")),
    "join-key-one": lambda w: w.JoinedTable(people(w), people(w), ["id"]),
    "join-table1": lambda w: w.JoinedTable(5, people(w), "id"),
    "join-table2": lambda w: w.JoinedTable(people(w), "people", "id"),
    "join-absent": lambda w: stored(w, w.JoinedTable("a.table.json", "b.table.json", "id")),
    "cell-set": lambda w: stored(w, w.Table(columns=["a"], data=[[{1}]])),
    "cell-object": lambda w: stored(w, w.Table(columns=["a"], data=[[1j]])),
    "cell-bytes": lambda w: stored(w, w.Table(columns=["a"], data=[[b"\xff"]])),
    "cell-mixed-keys": lambda w: stored(w, w.Table(columns=["a"], data=[[{1: 2, "a": 3}]])),
    "cell-list-of-arrays": lambda w: w.Table(columns=["a"], data=[[[np.zeros(2), np.zeros(2)]]]),
}
for _label, _make in TABLES.items():

    @error(f"errors.table-{_label}")
    def tables(wandb: Any, root: Path, make: Any = _make) -> Any:
        return make(wandb)


BOX: dict[str, Any] = {
    "position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4},
    "class_id": 1,
}
BOXES: dict[str, Any] = {
    "no-data": {},
    "tuple": {"box_data": (BOX,)},
    "no-position": {"box_data": [{"class_id": 1}]},
    "part-of-a-position": {"box_data": [BOX | {"position": {"minX": 1}}]},
    "text-position": {"box_data": [BOX | {"position": BOX["position"] | {"minX": "1"}}]},
    "three-middles": {
        "box_data": [BOX | {"position": {"middle": [1, 2, 3], "width": 1, "height": 1}}]
    },
    "class-text": {"box_data": [BOX | {"class_id": "1"}]},
    "no-class": {"box_data": [{"position": BOX["position"]}]},
    "scores-list": {"box_data": [BOX | {"scores": [1]}]},
    "score-text": {"box_data": [BOX | {"scores": {"a": "x"}}]},
    "score-key": {"box_data": [BOX | {"scores": {1: 1}}]},
    "caption": {"box_data": [BOX | {"box_caption": 5}]},
    "labels-keys": {"box_data": [BOX], "class_labels": {"1": "a"}},
    "labels-values": {"box_data": [BOX], "class_labels": {1: 5}},
}
for _label, _data in BOXES.items():

    @error(f"errors.boxes-{_label}")
    def boxes(wandb: Any, root: Path, data: Any = _data) -> Any:
        return wandb.data_types.BoundingBoxes2D(data, "key")


MASKS: dict[str, Any] = {
    "empty": {},
    "no-data": {"class_labels": {1: "a"}},
    "cube": {"mask_data": np.zeros((1, 1, 1), dtype=int)},
    "negative": {"mask_data": np.array([[-1]])},
    "large": {"mask_data": np.array([[256]])},
    "labels": {"mask_data": np.array([[1]]), "class_labels": {"a": "b"}},
}
for _label, _data in MASKS.items():

    @error(f"errors.mask-{_label}")
    def masks(wandb: Any, root: Path, data: Any = _data) -> Any:
        return wandb.data_types.ImageMask(data, "key")


MEDIA: dict[str, Callable[[Any, Path], Any]] = {
    "image-missing": lambda w, r: w.Image(str(r / "missing.png")),
    "image-list": lambda w, r: w.Image([[1]]),
    "image-two-channels": lambda w, r: w.Image(np.zeros((2, 2, 2))),
    "image-boxes-list": lambda w, r: w.Image(green(r), boxes=[{"box_data": [BOX]}]),
    "image-masks-list": lambda w, r: w.Image(green(r), masks=[1]),
    "image-without-classes": lambda w, r: stored(
        w, w.Image(green(r), boxes={"p": {"box_data": [BOX], "class_labels": {}}})
    ),
    "image-mask-file-without-classes": lambda w, r: stored(
        w, w.Image(green(r), masks={"m": {"path": green(r, "m.png")}})
    ),
    "classes-name": lambda w, r: w.Classes([{"id": 1}]),
    "html-number": lambda w, r: w.Html(5),
    "audio-rate": lambda w, r: w.Audio(np.zeros(3)),
    "audio-missing": lambda w, r: w.Audio(str(r / "missing.wav")),
    "video-format": lambda w, r: w.Video(io.BytesIO(b""), format="avi"),
    "video-extension": lambda w, r: w.Video(str(r / "x.txt")),
    "video-list": lambda w, r: w.Video([1]),
    "object3d-list": lambda w, r: w.Object3D([[1, 2, 3]]),
    "object3d-shape": lambda w, r: w.Object3D(np.zeros((1, 5))),
    "object3d-from-numpy": lambda w, r: w.Object3D.from_numpy([[1]]),
    "object3d-from-numpy-shape": lambda w, r: w.Object3D.from_numpy(np.zeros(3)),
    "object3d-type": lambda w, r: w.Object3D({"type": "x"}),
    "object3d-no-type": lambda w, r: w.Object3D({}),
    "object3d-cloud-type": lambda w, r: w.Object3D.from_point_cloud([], [], None, "x"),
    "object3d-stream": lambda w, r: w.Object3D(io.StringIO("[]")),
    "object3d-mesh": lambda w, r: stored(w, w.Object3D(io.StringIO("v"), file_type="obj")),
}
for _label, _build in MEDIA.items():

    @error(f"errors.{_label}")
    def media(wandb: Any, root: Path, build: Any = _build) -> Any:
        return build(wandb, root)
