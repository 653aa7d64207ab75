"""Small habits of W&B's values that scripts rely on."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artfs
from artfs.errors import InvalidArgument
from tests.servers.lyings3 import BUCKET, lying_s3

PIXELS = np.zeros((2, 2, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTFS_STORE", str(tmp_path / "store"))


def test_from_json_leaves_its_argument_alone_whatever_is_done_with_the_table() -> None:
    types = {"a": {"wb_type": "number"}, "t": {"wb_type": "timestamp"}}
    value: dict[str, Any] = {
        "_type": "table",
        "columns": ["a", "t"],
        "data": [[1, 1000.0], [2, None]],
        "ncols": 2,
        "nrows": 2,
        "column_types": {"wb_type": "typedDict", "params": {"type_map": types}},
    }
    for with_types in (True, False):
        given = value if with_types else {**value, "column_types": None}
        before = copy.deepcopy(given)
        table = artfs.Table.from_json(given, artfs.Artifact("a", "t"))
        table.add_column("z", [1, 2])
        table.data[0][0] = 9
        table.data.append([3, None, 3])
        assert given == before


def test_the_rows_of_to_json_are_lists_of_their_own() -> None:
    for data in ([(1, "a"), [2, "b"]], [[1, np.float64(2.0)], [2, np.float64(1.0)]]):
        table = artfs.Table(columns=["x", "y"], data=data)
        before = copy.deepcopy(table.data)
        value = table.to_json(artfs.Artifact("a", "t"))
        assert {type(row) for row in value["data"]} == {list}
        value["data"][0][0] = "changed"
        value["columns"].append("more")
        assert table.data == before
        assert table.columns == ["x", "y"]


@pytest.mark.parametrize("given", [[[1, 2]], {"a": [1]}, np.zeros((2, 2))])
def test_a_dataframe_is_a_dataframe(given: Any) -> None:
    with pytest.raises(AssertionError, match=r"dataframe argument expects a `pandas"):
        artfs.Table(dataframe=given)


def test_captions_durations_and_rates_of_several_values_are_those_of_wandb(tmp_path: Path) -> None:
    captioned, plain = artfs.Image(PIXELS, caption="c"), artfs.Image(PIXELS)
    assert artfs.Image.all_captions([captioned, plain]) == ["c", None]
    assert artfs.Image.captions([captioned]) == ["c"]
    assert artfs.Image.all_captions([plain, captioned]) is False
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    sounds = [
        artfs.Audio(np.zeros(100), sample_rate=50, caption="c"),
        artfs.Audio(np.zeros((100, 2)), sample_rate=100),
        artfs.Audio(str(tmp_path / "a.wav")),
    ]
    assert artfs.Audio.durations(sounds) == [2.0, 1.0, None]
    assert artfs.Audio.sample_rates(sounds) == [50, 100, None]
    assert artfs.Audio.captions(sounds) == ["c", "", ""]
    assert artfs.Audio.captions(sounds[1:]) is False
    assert artfs.Audio.durations([]) == artfs.Audio.sample_rates([]) == []


def test_a_sound_from_an_artifact_has_a_caption_and_no_known_duration() -> None:
    artifact = artfs.Artifact("a", "t")
    value = artfs.Audio(np.zeros(100), sample_rate=50, caption="c").to_json(artifact)
    made = artfs.Audio.from_json(value, artifact)
    assert artfs.Audio.durations([made]) == artfs.Audio.sample_rates([made]) == [None]
    assert artfs.Audio.captions([made]) == ["c"]


@pytest.mark.parametrize("shape", [(2, 2), (2, 3, 4), (2,) * 6, (0, 3, 4, 4)])
def test_the_shape_of_a_video_is_checked_before_its_codecs(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"4 dimensions|shape"):
        artfs.Video(np.zeros(shape, dtype=np.uint8))


def test_a_name_that_leads_to_nothing_is_a_comm_error_and_a_value_error(tmp_path: Path) -> None:
    with artfs.init(project="p") as run:
        run.log_artifact(artfs.Artifact("a", "t"))
    api = artfs.Api(store=str(tmp_path / "store"))
    for call in (
        lambda: api.artifact("p/missing:latest"),
        lambda: api.artifact("p/a:v7"),
        lambda: api.artifact("p/a:missing"),
        lambda: api.run("p/missing"),
    ):
        with pytest.raises(artfs.CommError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    with pytest.raises(KeyError):
        api.artifact("p/a:latest").get_path("missing")


def test_a_web_address_without_anything_is_an_os_error() -> None:
    with lying_s3() as server, pytest.raises(OSError, match="it is gone") as caught:
        artfs.Artifact("a", "t").add_reference(f"{server.url}/bucket/missing")
    assert str(caught.value).startswith(f"{server.url}/bucket/missing: it is gone")


def test_a_file_that_is_made_twice_is_told_in_the_words_of_wandb() -> None:
    artifact = artfs.Artifact("a", "t")
    with artifact.new_file("x") as file:
        file.write("x")
    with (
        pytest.raises(ValueError, match="File with name 'x' already exists"),
        artifact.new_file("x"),
    ):
        pass


def test_a_listing_is_told_on_standard_error_in_the_words_of_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "test")
    draft = artfs.Artifact("a", "t")
    with lying_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        for number in range(3):
            server.put(f"dir/{number}", b"content")
        draft.add_reference(f"s3://{BUCKET}/dir", max_objects=3)
        began = 'artfs: Generating checksum for up to 3 objects with prefix "dir"... '
        assert re.fullmatch(rf"{began}Done\. \d+\.\ds\n", capsys.readouterr().err)
        limit = "Exceeded 2 objects tracked, pass max_objects to add_reference"
        with pytest.raises(ValueError, match=limit):
            draft.add_reference(f"s3://{BUCKET}/dir", max_objects=2)
        assert capsys.readouterr().err.endswith("s\n")
        draft.add_reference(f"s3://{BUCKET}/dir/1", name="one")
        draft.add_reference(f"s3://{BUCKET}/dir", name="unlisted", checksum=False)
        assert capsys.readouterr().err == ""
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", None)
            draft.add_reference(f"s3://{BUCKET}/dir", name="quiet")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "x").write_text("x")
    (tmp_path / "local" / "y").write_text("y")
    with pytest.raises(ValueError, match="Exceeded 1 objects tracked"):
        draft.add_reference(f"file://{tmp_path}/local", max_objects=1)
    capsys.readouterr()
    draft.add_reference(f"file://{tmp_path}/local", name="local", max_objects=5)
    began = f'artfs: Generating checksum for up to 5 files in "{tmp_path}/local"...\nartfs: '
    assert re.fullmatch(rf"{re.escape(began)}Done\. \d+\.\ds\n", capsys.readouterr().err)
