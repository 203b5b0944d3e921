import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boxless.data.images import shrink
from boxless.report.drawing import (
    CAPTION,
    DARK,
    FOUND,
    PAPER,
    TRUTH,
    captioned,
    colours,
    outline,
    overlay,
    save_picture,
    sheet,
    triptych,
)

GREY = 127


def grey(width, height):
    return np.full((height, width, 3), GREY, np.uint8)


def hill(height, width):
    y, x = np.mgrid[:height, :width]
    return np.exp(-((x - width / 2) ** 2 + (y - height / 2) ** 2) / 8).astype(np.float32)


@settings(deadline=None)
@given(st.integers(8, 300), st.integers(8, 300), st.data())
def test_an_outline_fills_its_box_to_the_edges_and_touches_nothing_outside(width, height, data):
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    picture = grey(width, height)
    drawn = outline(picture, np.array([[x0, y0, x1, y1]], np.float32), FOUND)
    changed = np.argwhere((drawn != GREY).any(axis=2))
    assert (changed.min(axis=0) == [y0, x0]).all() and (changed.max(axis=0) == [y1 - 1, x1 - 1]).all()
    assert (picture == GREY).all()


def test_boxes_outside_the_picture_and_none_at_all_are_harmless():
    picture = grey(40, 30)
    assert (outline(picture, np.zeros((0, 4), np.float32), FOUND) == picture).all()
    assert (outline(picture, np.array([[50, 50, 60, 60]], np.float32), FOUND) == picture).all()
    partly = outline(picture, np.array([[-20, 10, 20, 90]], np.float32), FOUND)
    assert (partly[20, 10:15] == GREY).all() and (partly[12, 10] == FOUND).all()


def test_the_line_grows_with_the_picture():
    def width(side):
        drawn = outline(grey(side, side), np.array([[0, 0, side, side]], np.float32), TRUTH)
        return int((drawn[side // 2, : side // 2] == TRUTH).all(axis=1).sum())

    assert width(64) == 2 and width(800) == 10


def test_colours_are_ordered_by_lightness_and_have_the_pictures_size():
    ramp = np.linspace(-3, 5, 64, dtype=np.float32)[None]
    picture = colours(ramp, (128, 9))
    assert picture.shape == (9, 128, 3) and picture.dtype == np.uint8
    lightness = picture[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) >= -1.5).all() and lightness[-1] - lightness[0] > 200
    assert picture[0, -1, 0] > picture[0, -1, 2]  # inferno ends in yellow: RGB, not BGR


def test_a_constant_or_broken_map_is_dark_all_over():
    for value in (3.0, np.nan, np.inf):
        assert colours(np.full((4, 4), value, np.float32), (10, 10)).max() < 10


def test_overlay_mixes_the_two():
    picture = grey(30, 20)
    heat = hill(10, 15)
    assert (overlay(picture, heat, opacity=0) == picture).all()
    assert (overlay(picture, heat, opacity=1) == colours(heat, (30, 20))).all()


def test_triptych_shows_both_boxes_left_and_right_and_none_on_the_map():
    picture = grey(200, 100)
    found, truth = np.array([[20, 20, 100, 80]], np.float32), np.array([[40, 30, 180, 90]], np.float32)
    heat = hill(7, 14)
    drawn = triptych(picture, heat, found, truth, longest=100)
    panels = drawn[:, :100], drawn[:, 102:202], drawn[:, 204:]
    assert [panel.shape for panel in panels] == [(50, 100, 3)] * 3
    for index, panel in enumerate(panels):
        for colour in (FOUND, TRUTH):
            assert (panel == colour).all(axis=2).any() == (index != 1)
    assert (panels[0][10, 10:50] == DARK).all()  # the found box's upper edge, scaled by a half
    assert not (triptych(picture, heat, found) == TRUTH).all(axis=2).any()


def test_sheet_keeps_every_picture_whole():
    pictures = [np.full((h, w, 3), value, np.uint8) for h, w, value in ((10, 20, 1), (30, 5, 2), (8, 8, 3))]
    page = sheet(pictures, columns=2, gap=4)
    assert page.shape == (30 + 4 + 8, 20 + 4 + 20, 3)
    for picture in pictures:
        assert (page == picture[0, 0]).all(axis=2).sum() == picture.shape[0] * picture.shape[1]
    assert sheet(pictures[:1], columns=5).shape == (10, 20, 3)


def test_shrink_only_ever_shrinks():
    assert shrink(grey(40, 20), 100).shape == (20, 40, 3)
    assert shrink(grey(400, 2), 100).shape == (1, 100, 3)


def test_save_makes_the_folder(tmp_path):
    picture = colours(hill(6, 6), (20, 10))
    save_picture(tmp_path / "new/a.png", picture)
    assert (np.asarray(Image.open(tmp_path / "new/a.png")) == picture).all()


def test_a_caption_stands_above_its_picture_and_fits_it():
    picture = grey(60, 20)
    for text in ("a", "a caption that is far too long for so small a picture"):
        drawn = captioned(picture, text)
        assert drawn.shape == (20 + CAPTION, 60, 3) and (drawn[CAPTION:] == picture).all()
        strip = drawn[:CAPTION]
        assert strip.min() < 128 and (strip[:, -1] == PAPER).all()
