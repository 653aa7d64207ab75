"""Audio, video, HTML and 3D objects."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from .pictures import STRIPE, stored
from .registry import seeded, value, write

if TYPE_CHECKING:
    from pathlib import Path

PAGES = (
    "",
    "<p>x",
    "<html><body>x</body></html>",
    "<html><head><title>t</title></head></html>",
    "a<head>b<head>c<html>",
    " \n<p>caf\u00e9 \U0001f600</p>\n ",
    "<HTML><HEAD></HEAD>",
    '<html lang="en"><head a=1>',
    "<header>",
    " <head> ",
    " <html> ",
    "line\r\nline\rline\n",
)
POINTS = ([1, 2, 3], [4.5, -5, 6e20])
BOX3D = {"corners": [[0, 0, 0], [1, 1, 1]], "label": "caf\u00e9", "color": [1, 2, 3]}
VECTOR = {"start": [0, 0, 0], "end": [1, 1, 0.5]}

for _number, _page in enumerate(PAGES):
    for _inject in (True, False):
        _label = f"{_number:02d}-{'head' if _inject else 'plain'}"

        @value(f"media.html-text-{_label}")
        def html_text(wandb: Any, root: Path, page: str = _page, inject: bool = _inject) -> Any:
            return stored(wandb, wandb.Html(page, inject=inject))

        @value(f"media.html-file-{_label}")
        def html_file(wandb: Any, root: Path, page: str = _page, inject: bool = _inject) -> Any:
            write(root, {"page.html": page.encode()})
            return stored(wandb, wandb.Html(str(root / "page.html"), inject=inject))


@value("media.html-stream")
def html_stream(wandb: Any, root: Path) -> Any:
    """The stream is read from its start, wherever it stands."""
    stream = io.StringIO("<p>all of it")
    stream.read(5)
    return stored(wandb, wandb.Html(stream))


@value("media.html-open-file")
def html_open_file(wandb: Any, root: Path) -> Any:
    write(root, {"page.html": b"<html>x</html>"})
    with (root / "page.html").open() as stream:
        return stored(wandb, wandb.Html(stream, inject=False))


for _number, (_name, _options) in enumerate(
    [
        ("a.wav", {}),
        ("a.wav", {"caption": "caf\u00e9"}),
        ("a.wav", {"caption": "", "sample_rate": 8000}),
        ("any.thing", {}),
        ("noext", {"caption": None}),
    ]
):

    @value(f"media.audio-file-{_number}")
    def audio_file(wandb: Any, root: Path, name: str = _name, given: Any = _options) -> Any:
        write(root, {name: b"RIFF not decoded"})
        return stored(wandb, wandb.Audio(str(root / name), **given))


for _number, (_name, _options) in enumerate(
    [
        ("v.mp4", {}),
        ("v.mp4", {"caption": "c", "fps": 30}),
        ("v.webm", {"caption": ""}),
        ("V.GIF", {}),
        ("v.ogg", {"format": "mp4"}),
    ]
):

    @value(f"media.video-file-{_number}")
    def video_file(wandb: Any, root: Path, name: str = _name, given: Any = _options) -> Any:
        write(root, {name: STRIPE})
        return stored(wandb, wandb.Video(str(root / name), **given))


for _format in (None, "gif", "mp4", "webm", "ogg"):

    @value(f"media.video-bytes-{_format}")
    def video_bytes(wandb: Any, root: Path, given: str | None = _format) -> Any:
        return stored(wandb, wandb.Video(io.BytesIO(STRIPE), caption="c", format=given))


@value("media.object3d-file")
def object3d_file(wandb: Any, root: Path) -> Any:
    write(root, {"p.pts.json": b"[[1,2,3]]"})
    return stored(wandb, wandb.Object3D(str(root / "p.pts.json")))


@value("media.object3d-open-file")
def object3d_open_file(wandb: Any, root: Path) -> Any:
    write(root, {"p.pts.json": b"[[1,2,3]]"})
    with (root / "p.pts.json").open() as stream:
        return stored(wandb, wandb.Object3D(stream))


@value("media.object3d-from-file")
def object3d_from_file(wandb: Any, root: Path) -> Any:
    write(root, {"p.pts.json": b"[[1,2,3]]"})
    return stored(wandb, wandb.Object3D.from_file(str(root / "p.pts.json")))


@value("media.object3d-stream")
def object3d_stream(wandb: Any, root: Path) -> Any:
    stream = io.StringIO(json.dumps(POINTS))
    return stored(wandb, wandb.Object3D(stream, file_type="pts.json"))


for _number, _array in enumerate(
    [
        np.array(POINTS),
        np.array([[1, 2, 3]]),
        np.array([[0.5, 1, 2, 14]]),
        np.array([[1, 2, 3, 255, 0, 128]]),
        np.zeros((0, 3)),
        np.array([[1, 2, 3]], dtype=np.float32),
        np.array([[0.1, float("inf"), -0.0]]),
    ]
):

    @value(f"media.object3d-array-{_number}")
    def object3d_array(wandb: Any, root: Path, array: Any = _array) -> Any:
        return stored(wandb, wandb.Object3D(array))

    @value(f"media.object3d-from-numpy-{_number}")
    def object3d_from_numpy(wandb: Any, root: Path, array: Any = _array) -> Any:
        return stored(wandb, wandb.Object3D.from_numpy(array))


for _number, _scene in enumerate(
    [
        {},
        {"points": np.array(POINTS)},
        {"points": np.array(POINTS), "boxes": np.array([BOX3D]), "vectors": np.array([VECTOR])},
        {"vectors": np.array([]), "ignored": 1},
    ]
):

    @value(f"media.object3d-scene-{_number}")
    def object3d_scene(wandb: Any, root: Path, scene: Any = _scene) -> Any:
        return stored(wandb, wandb.Object3D({"type": "lidar/beta", **scene}))


@value("media.object3d-cloud")
def object3d_cloud(wandb: Any, root: Path) -> Any:
    cloud = wandb.Object3D.from_point_cloud(POINTS, [BOX3D], [VECTOR])
    return stored(wandb, cloud)


@value("media.object3d-cloud-without-vectors")
def object3d_cloud_without_vectors(wandb: Any, root: Path) -> Any:
    return stored(wandb, wandb.Object3D.from_point_cloud(points=POINTS, boxes=[]))


@seeded("media.object3d-random", 20)
def object3d_random(wandb: Any, root: Path, seed: int) -> Any:
    rng = np.random.RandomState(seed)
    shape = (rng.randint(1, 6), rng.choice([3, 4, 6]))
    array = rng.randint(-64, 64, size=shape) / rng.choice([1, 8, 10])
    return stored(wandb, wandb.Object3D(array))
