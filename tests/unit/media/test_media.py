"""Sounds, videos, pages, points and plots: what golden values do not show."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.plotting import figure
from PIL import Image as Pillow

import artfs
from artfs.errors import Unsupported
from artfs.media.video import tiled


@pytest.mark.parametrize(
    ("module", "package", "make"),
    [
        ("PIL.Image", r"artfs\[media\]", lambda: artfs.Image("picture.png")),
        ("PIL.Image", r"artfs\[media\]", lambda: artfs.Image(np.zeros((2, 2)))),
        ("numpy", r"artfs\[media\]", lambda: artfs.Table(columns=["a"]).get_column("a", "numpy")),
        ("soundfile", "soundfile", lambda: artfs.Audio([0.0], sample_rate=8000)),
        ("moviepy", "moviepy", lambda: artfs.Video(np.zeros((1, 3, 2, 2)))),
        ("pandas", "pandas", lambda: artfs.Table(columns=["a"]).get_dataframe()),
    ],
)
def test_a_missing_library_is_named(
    module: str, package: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("picture.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unsupported, match=f"pip install '{package}'"):
        make()


def test_value_types_are_there_without_the_libraries_that_they_may_use() -> None:
    """In a process of its own: this one has them all."""
    import subprocess  # noqa: PLC0415

    code = (
        "import sys, artfs; [getattr(artfs, n) for n in dir(artfs)]; "
        "artfs.Table(columns=['a'], data=[[1]]); artfs.Html('x'); "
        "print(sorted({'numpy', 'PIL', 'pandas', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_value_type_is_public() -> None:
    for name in artfs.data_types.__all__:
        assert getattr(artfs, name) is getattr(artfs.data_types, name)


def test_a_batch_of_videos_is_tiled() -> None:
    batch = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1, 1) + 1
    assert tiled(batch)[0, :, :, 0].tolist() == [[1, 2], [3, 0]]
    assert tiled(batch[:2])[0, :, :, 0].tolist() == [[1, 2]]
    assert tiled(np.zeros((5, 3, 4, 6))).shape == (5, 4, 6, 3)
    with pytest.raises(ValueError, match="4 dimensions"):
        tiled(np.zeros((3, 4, 6)))


class Clip:
    """What moviepy makes of frames: it notes them, and writes a file."""

    def __init__(self, frames: list[Any], fps: int) -> None:
        self.frames, self.fps = frames, fps

    def write_gif(self, path: str, **options: Any) -> None:
        Path(path).write_bytes(b"GIF of %d" % len(self.frames))

    def write_videofile(self, path: str, **options: Any) -> None:
        Path(path).write_bytes(b"VIDEO of %d" % len(self.frames))


def test_arrays_become_videos(run: artfs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import types  # noqa: PLC0415

    library = types.ModuleType("moviepy")
    library.ImageSequenceClip = Clip  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moviepy", library)
    frames = np.zeros((5, 3, 4, 6), dtype=np.uint8)
    artifact = artfs.Artifact("videos", type="dataset")
    artifact.add(artfs.Video(frames), "gif")
    artifact.add(artfs.Video(frames, format="mp4"), "mp4")
    run.log_artifact(artifact)
    gif = artifact.get("gif")
    assert (gif._width, gif._height, gif.open().read()) == (6, 4, b"GIF of 5")
    assert artifact.get("mp4").open().read() == b"VIDEO of 5"


def test_html_takes_text_and_not_bytes() -> None:
    with pytest.raises(TypeError, match="text"):
        artfs.Html(io.BytesIO(b"x"))  # type: ignore[arg-type]
    assert artfs.Html("a\0b", inject=False).html == "a\0b"


def test_points_come_from_files_of_points_only(workplace: Path) -> None:
    Path("mesh.obj").write_text("v 0 0 0")
    mesh = artfs.Object3D("mesh.obj")
    with pytest.raises(ValueError, match="not yet supported"):
        artfs.Artifact("a", type="dataset").add(mesh, "mesh")
    with pytest.raises(ValueError, match="takes files of the types"):
        artfs.Object3D("mesh.txt")
    with pytest.raises(ValueError, match="file type"):
        artfs.Object3D(io.StringIO(""))
    with pytest.raises(ValueError, match="txt"):
        artfs.Object3D(io.StringIO(""), file_type="txt")
    with pytest.raises(FileNotFoundError):
        artfs.Object3D("missing.pts.json")


def test_a_plot_is_stored_as_its_document(run: artfs.Run) -> None:
    plot = figure(title="of lines")
    plot.line(np.arange(3.0), np.array([1.5, 2.5, 4.0]))
    artifact = artfs.Artifact("plots", type="dataset")
    artifact.add(artfs.Bokeh(plot), "plot")
    run.log_artifact(artifact)
    (found,) = artifact.get("plot").b_obj.roots
    assert found.title.text == "of lines"
    assert found.renderers[0].data_source.data["y"].tolist() == [1.5, 2.5, 4.0]
    with pytest.raises(TypeError, match="bokeh model"):
        artfs.Bokeh(5)
    with pytest.raises(ValueError, match=r"\.bokeh\.json"):
        artfs.Bokeh("plot.json")


def test_sounds_are_equal_when_their_captions_are_too(workplace: Path) -> None:
    Path("a.wav").write_bytes(b"x")
    assert artfs.Audio("a.wav") == artfs.Audio("a.wav")
    assert artfs.Audio("a.wav") != artfs.Audio("a.wav", caption="c")
    assert artfs.Audio("https://example.org/a.wav")._sha256 != artfs.Audio("a.wav")._sha256


def test_classes_need_an_id_and_a_name() -> None:
    with pytest.raises(ValueError, match="id and a name"):
        artfs.Classes([{"id": 1}])
    assert artfs.Classes([{"id": 1, "name": "a"}]) == artfs.Classes([{"id": 1, "name": "a"}])


def test_path_objects_are_paths(workplace: Path) -> None:
    for name in ("p.pts.json", "p.bokeh.json", "a.wav", "v.mp4", "page.html"):
        Path(name).write_text("x")
    assert artfs.Object3D(Path("p.pts.json")) == artfs.Object3D("p.pts.json")
    assert artfs.Bokeh(Path("p.bokeh.json")) == artfs.Bokeh("p.bokeh.json")
    assert artfs.Audio(Path("a.wav")) == artfs.Audio("a.wav")
    assert artfs.Video(Path("v.mp4")) == artfs.Video("v.mp4")
    assert artfs.Html(Path("page.html"), inject=False).html == "x"
    Pillow.new("L", (1, 1)).save("i.png")
    assert artfs.Image(Path("i.png")).format == "png"
