"""Images, masks and boxes: what golden values do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image as Pillow

import artfs

mpl.use("Agg")


def test_a_figure_becomes_a_picture() -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend was chosen

    figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
    (line,) = axes.plot([1, 2, 3])
    of_figure = artfs.Image(figure)
    assert (of_figure._width, of_figure._height, of_figure.format) == (100, 50, "png")
    assert artfs.Image(line) == of_figure
    assert artfs.Image(plt) == of_figure
    plt.close(figure)


class Tensor:
    """As much of a torch tensor as is used; its class says that it is one."""

    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)
        self.shape = self._array.shape

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self._array


Tensor.__module__ = "torch"


def test_a_tensor_becomes_a_picture_of_its_whole_range() -> None:
    image = artfs.Image(Tensor([[[-1.0, 0.0], [1.0, 3.0]]]))
    assert image.to_data_array()[:, :, 0].tolist() == [[0, 63], [127, 255]]
    assert image.image.mode == "RGB"
    colours = np.zeros((3, 2, 4))
    colours[1] = 1
    assert artfs.Image(Tensor(colours)).image.getpixel((0, 0)) == (0, 255, 0)


def test_a_batch_of_tensors_becomes_a_grid() -> None:
    batch = np.ones((9, 3, 4, 5))
    batch[0] = 0
    image = artfs.Image(Tensor(batch)).image
    assert image.size == (8 * 7 + 2, 2 * 6 + 2)
    assert image.getpixel((2, 2)) == (0, 0, 0)
    assert image.getpixel((9, 2)) == (255, 255, 255)
    with pytest.raises(ValueError, match="shape"):
        artfs.Image(Tensor(np.zeros((2, 5, 4, 4))))


class Eager:
    """A tensor of another library: it only gives an array."""

    def numpy(self) -> Any:
        return np.array([[0, 128]], dtype=np.uint8)


def test_whatever_gives_an_array_becomes_a_picture() -> None:
    assert artfs.Image(Eager()).to_data_array().tolist() == [[0, 128]]


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2), (2, 2, 5), (2, 2, 2, 3)])
def test_arrays_of_other_shapes_are_no_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        artfs.Image(np.ones(shape))


def test_an_array_can_have_a_mode_of_its_own() -> None:
    pixels = np.full((2, 2, 3), 7, dtype=np.uint8)
    assert artfs.Image(pixels, mode="RGB").image.mode == "RGB"
    assert artfs.Image(pixels[:, :, 0], mode="L").image.mode == "L"


def test_what_is_no_picture_is_refused(workplace: Path) -> None:
    Path("text.png").write_text("not a picture")
    with pytest.raises(OSError, match="text"):
        artfs.Image("text.png")


def test_images_are_equal_when_they_look_alike() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    Pillow.fromarray(pixels).save("other.bmp")
    image = artfs.Image(pixels)
    assert image == artfs.Image("other.bmp")
    assert image != artfs.Image(pixels, caption="c")
    assert image != artfs.Image(pixels + 20)
    assert image != artfs.Image(pixels, classes=[{"id": 1, "name": "a"}])
    assert image != artfs.Html("x")
    assert len({image, artfs.Image(pixels)}) == 1


def test_a_picture_behind_a_url_is_not_opened() -> None:
    image = artfs.Image("https://example.org/a/cat.jpeg?x=1.png")
    assert (image.image, image._width) == (None, None)
    assert image == artfs.Image("https://example.org/a/cat.jpeg?x=1.png")
    assert image != artfs.Image("https://example.org/b.png")
    with pytest.raises(FileNotFoundError, match="reference"):
        image.open()


def test_a_file_that_changes_is_stored_as_it_is_when_it_is_added(run: artfs.Run) -> None:
    for colour in ("red", "blue"):
        Pillow.new("RGB", (1, 1), colour).save("same.png")
        image = artfs.Image("same.png")
    artifact = artfs.Artifact("pictures", type="dataset")
    artifact.add(image, "image")
    run.log_artifact(artifact)
    assert artifact.get("image").image.getpixel((0, 0)) == (0, 0, 255)


def test_a_made_file_goes_with_its_image() -> None:
    image = artfs.Image(np.zeros((2, 2)))
    path = Path(image._path)
    assert path.is_file()
    copy = artfs.Image(image)
    del image
    assert path.is_file()
    del copy
    assert not path.exists()


def test_a_mask_shows_its_pixels() -> None:
    mask = artfs.ImageMask({"mask_data": np.array([[0, 200]])}, "m")
    assert mask.to_data_array().tolist() == [[0, 200]]
    assert mask.class_labels == {0: "class_0", 200: "class_200"}
    with mask.open() as file, Pillow.open(file) as picture:
        assert picture.mode == "L"


def test_an_image_of_an_image_keeps_all_but_boxes_and_masks() -> None:
    box = {"position": {"middle": [1, 2], "width": 3, "height": 4}, "class_id": 1}
    image = artfs.Image(np.zeros((2, 2)), caption="c", grouping=2, boxes={"b": {"box_data": [box]}})
    copy = artfs.Image(image)
    assert (copy._caption, copy._grouping, copy.boxes) == ("c", 2, {})
    assert copy.classes == image.classes
