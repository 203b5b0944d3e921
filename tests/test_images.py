import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from boxless.data.deep_pictures import deep_colours
from boxless.data.images import (
    JPEG_PIXEL_LIMIT,
    TURNS,
    read_part,
    read_picture,
    read_resized,
    read_shrunk,
    read_size,
    squash,
)
from boxless.runtime.errors import BrokenImageError


def photo(width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth colourful picture without symmetry (h, w, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM"])
def test_formats_give_their_pixels(format: str) -> None:
    picture = read_picture(encoded(photo(), format), "a")
    assert picture.shape == (64, 96, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    assert np.abs(picture.astype(int) - photo()).mean() < (4 if format in ("JPEG", "WEBP") else 1e-9)


@pytest.mark.parametrize("quality", [50, 95])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpegs_agree_with_opencv(quality: int, options: dict[str, object]) -> None:
    data = encoded(photo(501, 333), "JPEG", quality=quality, **options)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read_picture(data, "a").astype(int) - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    upright = photo()
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = Image.fromarray(upright)
    stored = stored.transpose(TURNS[back]) if back in TURNS else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, format, exif=exif)
    assert np.abs(read_picture(data, "a").astype(int) - upright).mean() < 4
    square, size = read_resized(data, "a", 16)
    assert size == (96, 64)
    assert np.abs(square.astype(int) - squash(upright, 16)).mean() < 6
    assert read_size(data, "a") == read_shrunk(data, "a", 16)[1] == (96, 64)
    if format == "JPEG":  # OpenCV reads the orientation of JPEGs by itself
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (64, 96)


def test_damaged_exif_does_not_lose_the_picture() -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff damaged")
    assert read_picture(data, "a").shape == (64, 96, 3)


def test_grey_palette_and_bilevel_become_rgb() -> None:
    grey = Image.fromarray(photo()).convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    assert np.array_equal(read_picture(encoded(grey), "a"), expected)
    assert np.array_equal(read_resized(encoded(grey), "a", 32)[0], squash(expected, 32))
    assert np.abs(read_picture(encoded(grey, "JPEG"), "a").astype(int) - expected).mean() < 2
    palette = Image.fromarray(photo()).quantize(32)
    assert np.array_equal(read_picture(encoded(palette), "a"), np.asarray(palette.convert("RGB")))
    assert set(np.unique(read_picture(encoded(grey.convert("1")), "a"))) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_become_white(mode: str) -> None:
    image = Image.new("RGBA", (20, 10), (200, 0, 0, 0))
    image.paste((20, 20, 20, 255), (0, 0, 10, 10))
    image.paste((0, 0, 0, 128), (0, 0, 10, 2))
    picture = read_picture(encoded(image.quantize(8) if mode == "P" else image.convert(mode)), "a")
    assert (picture[:, 10:] == 255).all()
    assert np.abs(picture[5, :10].astype(int) - 20).max() <= 1
    assert np.abs(picture[0, :10].astype(int) - 127).max() <= 1


def test_a_colour_key_becomes_white() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2] = (9, 8, 7)
    assert (read_picture(encoded(picture, transparency=(9, 8, 7)), "a")[:2] == 255).all()


def test_cmyk_jpegs_have_their_colours_upright_and_inverted() -> None:
    cmyk = Image.fromarray(photo()).convert("CMYK")
    data = encoded(cmyk, "JPEG", quality=95)  # Pillow writes what Adobe writes: all four inks inverted
    assert b"Adobe" in data
    assert np.abs(read_picture(data, "a").astype(int) - photo()).mean() < 5
    assert np.abs(read_resized(data, "a", 32)[0].astype(int) - squash(photo(), 32)).mean() < 5


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_has_its_sides_swapped_once(compression: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(60, 40), "TIFF", exif=exif, compression=compression)
    upright = (40, 60) if orientation >= 5 else (60, 40)
    assert read_size(data, "a") == upright
    assert read_picture(data, "a").shape[1::-1] == upright
    assert read_resized(data, "a", 8)[1] == read_shrunk(data, "a", 8)[1] == upright


def ramp(top: float, bottom: float = 0) -> np.ndarray:
    """Values that rise over the picture (64, 96), as float64."""
    return np.linspace(bottom, top, 96 * 64).reshape(64, 96)


def as_pgm(values: np.ndarray) -> bytes:
    return b"P5\n96 64\n65535\n" + values.astype(">u2").tobytes()


DEEP = {
    "uint16 png": lambda values: encoded(values.astype(np.uint16)),
    "uint16 tiff": lambda values: encoded(values.astype(np.uint16), "TIFF"),
    "pgm": as_pgm,
    "int16 tiff": lambda values: cv2.imencode(".tiff", values.astype(np.int16))[1].tobytes(),
    "int32 tiff": lambda values: encoded(values.astype(np.int32), "TIFF"),
    "float tiff": lambda values: encoded(values.astype(np.float32), "TIFF"),
    "uint16 colour png": lambda values: cv2.imencode(".png", np.dstack([values] * 3).astype(np.uint16))[1].tobytes(),
    "uint16 colour tiff": lambda values: cv2.imencode(".tiff", np.dstack([values] * 3).astype(np.uint16))[1].tobytes(),
    "uint16 colour ppm": lambda values: cv2.imencode(".ppm", np.dstack([values] * 3).astype(np.uint16))[1].tobytes(),
}


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 32767])
def test_values_of_any_depth_fill_eight_bits_in_one_way(kind: str, top: int) -> None:
    picture = read_picture(DEEP[kind](ramp(top)), "a")
    assert picture.shape == (64, 96, 3) and (picture.min(), picture.max()) == (0, 255)
    assert np.abs(picture - ramp(255)[..., None]).max() <= 3


def test_a_turned_deep_colour_picture_is_upright() -> None:
    colours = np.dstack([ramp(4095), ramp(4095)[::-1], ramp(2000)]).astype(np.uint16)
    plain = read_picture(cv2.imencode(".png", colours)[1].tobytes(), "a")
    data = cv2.imencode(".png", colours)[1].tobytes()
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    turned = read_picture(data[:33] + chunk + data[33:], "a")
    assert np.array_equal(turned, np.rot90(plain, -1))
    assert plain[0, 0, 0] == plain[0, 0, 2] == 0 and plain[0, 0, 1] > 250


def test_hot_pixels_and_places_without_data_do_not_decide_the_range() -> None:
    clean = read_picture(encoded(ramp(1.0).astype(np.float32), "TIFF"), "a").astype(int)
    for mark in (-9999, np.nan, np.inf, -np.inf, -3.4028235e38):
        bordered = ramp(1.0).astype(np.float32)
        bordered[:, :30] = mark
        picture = read_picture(encoded(bordered, "TIFF"), "a")
        assert np.abs(picture[:, 30:, 0] - clean[:, 30:, 0]).max() <= 3
        assert (picture[:, :30] == 0).all()
    for mark, values in ((65535, ramp(1000).astype(np.uint16)), (9999.0, ramp(1.0).astype(np.float32))):
        values[:, :30] = mark
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[42113] = str(mark)
        picture = read_picture(encoded(values, "TIFF", tiffinfo=tags), "a")
        assert (picture[:, :30] == 0).all() and picture[:, 30:].max() == 255
    hot = ramp(1000).astype(np.uint16)
    hot[0, 0], hot[5, 5] = 65535, 65535
    assert np.abs(read_picture(encoded(hot), "a")[6:, :, 0] - clean[6:, :, 0]).max() <= 1


def test_a_tiff_says_itself_what_means_no_data() -> None:
    values = ramp(1.0).astype(np.float32)
    values[:, :30] = -7777
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[42113] = "-7777"
    picture = read_picture(encoded(values, "TIFF", tiffinfo=tags), "a")
    assert not picture[:, :30].any() and picture[10:50, 30:].std() > 20


def test_places_without_data_are_black_in_colours_of_sixteen_bits_too() -> None:
    values = np.dstack([ramp(1000).astype(np.uint16)] * 3)
    values[:, :30] = 65535
    data = cv2.imencode(".tif", values)[1].tobytes()
    image = Image.open(io.BytesIO(data))
    image.load()
    picture = deep_colours(image, data, None, [65535.0])
    assert picture is not None
    assert not np.asarray(picture)[:, :30].any() and np.asarray(picture)[:, 30:].max() == 255


def test_flat_and_valueless_deep_pictures_are_black_and_two_values_are_told_apart() -> None:
    for values in (np.full((8, 8), 700, np.uint16), np.full((8, 8), np.nan, np.float32)):
        assert not read_picture(encoded(values, "TIFF"), "a").any()
    spot = np.zeros((100, 100), np.uint16)
    spot[50, 50] = 3
    assert read_picture(encoded(spot), "a")[50, 50].tolist() == [255] * 3


def test_a_picture_of_another_kind_is_called_what_it_is() -> None:
    with pytest.raises(BrokenImageError, match=r"photo\.jpg is a HEIC file whatever its name says.*Convert"):
        read_picture(b"\0\0\0\x18ftypheic" + bytes(99), "photo.jpg")


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read_picture(data, "a") == (255, 0, 0)).all()


def test_one_pixel_and_extreme_shapes() -> None:
    square, size = read_resized(encoded(np.full((1, 1, 3), 77, np.uint8)), "a", 64)
    assert size == (1, 1)
    assert (square == 77).all()
    for width, height in ((20_000, 3), (3, 20_000), (40_000, 1)):
        for format in ("JPEG", "PNG"):
            square, size = read_resized(encoded(np.full((height, width, 3), 99, np.uint8), format), "a", 64)
            assert size == (width, height)
            assert np.abs(square.astype(int) - 99).max() <= 2


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_truncated_files_are_broken(format: str, kept: float, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    data = encoded(noise, format)
    for reader in (lambda data: read_picture(data, "half.x"), lambda data: read_resized(data, "half.x", 16)):
        with pytest.raises(BrokenImageError, match=r"half\.x"):
            reader(data[: int(len(data) * kept)])
    assert capfd.readouterr().err == ""


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_broken() -> None:
    thumbnail = encoded(photo(32, 32), "JPEG")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    data = encoded(photo(300, 200), "JPEG", exif=exif)
    assert thumbnail in data
    assert read_picture(data, "a").shape == (200, 300, 3)
    with pytest.raises(BrokenImageError, match="truncated"):
        read_picture(data[:-200], "a")


def test_damage_inside_a_jpeg_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(photo(300, 200), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 60] = bytes(range(60))
    assert read_picture(bytes(data), "a").shape == (200, 300, 3)
    assert capfd.readouterr().err == ""


def test_no_image_at_all() -> None:
    with pytest.raises(BrokenImageError, match=r"empty\.jpg is empty \(zero bytes\)"):
        read_picture(b"", "empty.jpg")
    for junk in (b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0" + bytes(99)):
        with pytest.raises(BrokenImageError, match=r"text\.jpg"):
            read_resized(junk, "text.jpg", 32)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"RIFF", b"BM"]))
@settings(max_examples=200, deadline=None)
def test_junk_never_raises_anything_else(junk: bytes, head: bytes) -> None:
    try:
        read_resized(head + junk, "junk", 8)
    except BrokenImageError as error:
        assert str(error).startswith("junk ")


def test_bombs_are_refused_and_pillow_is_left_as_it_was() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    png = encoded(photo())
    bomb = png[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    with pytest.raises(BrokenImageError, match="too many pixels"):
        read_picture(bomb, "bomb.png")
    jpeg = encoded(photo(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    side = int(JPEG_PIXEL_LIMIT**0.5) + 1
    with pytest.raises(BrokenImageError, match="too many pixels"):
        read_resized(jpeg[:frame] + struct.pack(">HH", side, side) + jpeg[frame + 4 :], "bomb.jpg", 32)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("size", [32, 100, 288])
def test_reduced_decoding_shows_the_same_picture(size: int) -> None:
    for width, height in ((801, 607), (2000, 1200), (97, 61)):
        data = encoded(photo(width, height), "JPEG", quality=95)
        square, original = read_resized(data, "a", size)
        assert original == (width, height)
        assert square.shape == (size, size, 3)
        # The smallest reduced JPEG is a little off its exact scale: a pixel at the most.
        assert np.abs(square.astype(int) - squash(read_picture(data, "a"), size)).mean() < 3


@pytest.mark.parametrize("turn", [1, 3, 6])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_part_is_that_of_the_upright_picture(format: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(photo(1600, 900), format, exif=exif)
    whole = read_picture(data, "a")
    height, width = whole.shape[:2]
    for x0, y0, x1, y1 in ((0, 0, width, height), (100, 200, 500, 600), (width - 300, height - 90, width, height)):
        square = read_part(data, "a", 60, (x0, y0, x1, y1))
        expected = squash(whole[y0:y1, x0:x1], 60)
        # A JPEG is decoded smaller where that is enough, which is a little off its exact scale.
        assert np.abs(square.astype(int) - expected).mean() < 3
    with pytest.raises(BrokenImageError, match="is empty"):
        read_part(b"", "gone.jpg", 60, (0, 0, 1, 1))


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_squashing_keeps_mean_and_range(width: int, height: int, size: int) -> None:
    picture = photo(width, height)
    square = squash(picture, size)
    assert square.shape == (size, size, 3)
    assert square.min() >= picture.min()
    assert square.max() <= picture.max()
    flat = np.full_like(picture, 91)
    assert (squash(flat, size) == 91).all()


def test_squashing_does_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(squash(stripes, 150).astype(int) - 128).max() < 70  # plain linear sampling swings from 0 to 255
    assert np.abs(squash(stripes, 100).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_small_pictures_are_upright_and_know_how_large_they_were(format: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(photo(600, 200), format, exif=exif)
    whole = read_picture(data, "a")
    small, size = read_shrunk(data, "a", 60)
    assert size == read_size(data, "a") == whole.shape[1::-1]
    assert max(small.shape) == 60 and small.shape[:2] == (whole.shape[0] // 10, whole.shape[1] // 10)
    expected = cv2.resize(whole, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 3
    assert read_shrunk(data, "a", 900)[0].shape == whole.shape


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff"])
def test_a_size_that_cannot_be_read_names_the_file(data: bytes) -> None:
    with pytest.raises(BrokenImageError, match=r"a\.jpg"):
        read_size(data, "a.jpg")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "CMYK", "I;16", "I", "F"])
def test_large_pictures_are_converted_in_bands_to_the_same(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 60_000, (50, 31))
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode)
    picture = Image.fromarray(values.astype(dtype)) if dtype else Image.fromarray(photo(31, 50)).convert(mode)
    data = encoded(picture, "TIFF")
    whole = read_picture(data, "a")
    monkeypatch.setattr("boxless.data.images.BAND", 31 * 7)
    assert np.array_equal(read_picture(data, "a"), whole)


def test_a_thread_of_a_picture_takes_no_more_memory_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxless.data.images.FINE_LIMIT", 50_000)
    for shape in ((5000, 1, 3), (1, 5000, 3), (5000, 3, 3)):
        picture = np.repeat(np.linspace(0, 255, 5000).astype(np.uint8), int(np.prod(shape)) // 5000).reshape(shape)
        square = squash(picture, 32)
        assert square.shape == (32, 32, 3)
        means = square.mean((1, 2) if shape[0] == 5000 else (0, 2))
        assert np.abs(means - (np.arange(32) + 0.5) * 255 / 32).max() < 4


def test_a_jpeg_of_very_many_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    assert read_picture(data, "a").shape == (64, 96, 3)
    monkeypatch.setattr("boxless.data.images.JPEG_SCANS_LIMIT", 64 * 96 * 9)
    with pytest.raises(BrokenImageError, match="too many pixels"):
        read_picture(data, "a")
