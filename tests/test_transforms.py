import io

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boxless.data.transforms import WHOLE, Resize, crop, crop_box, draws, to_images


def png(height: int, width: int) -> bytes:
    picture = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


@given(st.integers(5, 90), st.integers(5, 90), st.integers(4, 40))
@settings(max_examples=40, deadline=None)
def test_resizing_never_falls_below_the_size(height: int, width: int, size: int) -> None:
    data = png(height, width)
    assert Resize(size)(data, "a.png")[0].shape == (size, size, 3)
    short = Resize(size, "short-side")(data, "a.png")[0].shape
    assert min(short[:2]) == size
    assert abs(max(short[:2]) - size * max(height, width) / min(height, width)) <= 0.5


@given(st.integers(8, 30), st.integers(8, 30), st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_crop_is_a_piece_of_the_picture(height: int, width: int, draw: tuple[float, float, float]) -> None:
    places = np.arange(height * width, dtype=np.int64).reshape(height, width, 1)
    picture = np.concatenate([places // 256, places % 256, places * 0], axis=2).astype(np.uint8)
    cut = crop(picture, 8, np.array(draw)).astype(np.int64)
    assert cut.shape == (8, 8, 3)
    across = -1 if draw[2] < 0.5 else 1
    place = cut[..., 0] * 256 + cut[..., 1]
    assert (np.diff(place, axis=1) == across).all()
    assert (np.diff(place, axis=0) == width).all()


def test_all_places_of_a_crop_are_reached() -> None:
    picture = np.arange(10, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2)
    lefts = {int(crop(picture, 8, np.array([0, x, 1.0]))[0, 0, 0]) for x in np.linspace(0, 0.999, 50)}
    assert lefts == {0, 1, 2}


def test_draws_depend_on_their_key_alone() -> None:
    assert np.array_equal(draws(5, 1, 2, 3), draws(5, 1, 2, 3))
    assert not np.array_equal(draws(5, 1, 2, 3), draws(5, 1, 2, 4))


def test_the_whole_picture_is_taken_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    assert np.array_equal(crop(picture, 6, WHOLE), picture)


def test_images_are_0_to_1_and_channels_last() -> None:
    pictures = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8)
    images = to_images(pictures, torch.device("cpu"))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, pictures.permute(0, 3, 1, 2) / 255)


def test_a_box_is_cut_and_mirrored_with_its_picture() -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(200):
        height, width = (int(side) for side in rng.integers(40, 60, 2))
        (x0, y0), (x1, y1) = rng.integers(0, 20, 2), rng.integers(21, 40, 2)
        picture = np.zeros((height, width, 3), np.uint8)
        picture[y0:y1, x0:x1] = 255
        draw, size = rng.random(3), int(rng.integers(16, 41))
        square = crop(picture, size, draw)
        box = crop_box(np.array([x0, y0, x1, y1]) / [width, height, width, height], (height, width), size, draw)
        rows, columns = np.nonzero(square[..., 0])
        if not len(rows):
            assert box is None
            continue
        assert box is not None
        assert np.allclose(box * size, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        seen += 1
    assert seen > 100
    far = np.array([0.0, 0.0, 0.1, 0.1])
    assert crop_box(far, (100, 100), 50, np.array([0.99, 0.99, 0.6])) is None
