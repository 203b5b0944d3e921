"""Images that are broken, hostile or merely odd, made by a seeded mutator from small good ones of every format."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from cases import Bytes, Case
from PIL import Image

FORMATS = {
    "JPEG": ("jpg", {"quality": 90}),
    "progressive JPEG": ("jpeg", {"progressive": True}),
    "PNG": ("png", {}),
    "GIF": ("gif", {}),
    "BMP": ("bmp", {}),
    "WEBP": ("webp", {"quality": 80}),
    "TIFF": ("tif", {"compression": "tiff_lzw"}),
    "PPM": ("ppm", {}),
    "JPEG2000": ("jp2", {}),
    "AVIF": ("avif", {"quality": 60, "speed": 10}),
}
SIZES: dict[str, tuple[str, Callable[[bytes], int]]] = {
    "jpg": (">HH", lambda data: data.index(b"\xff\xc0") + 5),
    "jpeg": (">HH", lambda data: data.index(b"\xff\xc2") + 5),
    "png": (">II", lambda data: 16),
    "gif": ("<HH", lambda data: 6),
    "bmp": ("<ii", lambda data: 18),
    "jp2": (">II", lambda data: data.index(b"ihdr") + 4),
    "avif": (">II", lambda data: data.index(b"ispe") + 8),
}
"""Where in a file its two sides stand, and as what."""


def malformed_images(seed: int) -> Iterator[Case]:
    """Every kind of damage to every format, files that are no image, oddities that are none, and bombs."""
    for number, (format, (suffix, options)) in enumerate(FORMATS.items()):
        rng = np.random.default_rng((seed, number))
        data = encoded(picture(rng), format.rpartition(" ")[2], **options)
        for what, changed, refuse in damaged(data, suffix, rng):
            yield image_case(f"{format}, {what}", f"{what}.{suffix}".replace(" ", "-"), changed, refuse=refuse)
    for name, content in {"text": b"hello", "html": b"<html>404</html>", "zip": b"PK\3\4", "nul": bytes(4096)}.items():
        yield image_case(f"no image but {name}", f"{name}.jpg", content, refuse=True)
    for name, suffix, content in oddities(np.random.default_rng((seed, 99))):
        yield image_case(f"odd: {name}", f"odd.{suffix}", content)
    for name, suffix, content, refuse in bombs():
        for reader in ("data", "whole"):
            files = {f"bomb.{suffix}": content}
            yield Case(f"bomb: {name}, {reader}", f"bomb.{suffix}", files, "", reader, refuse, heavy=True)


def image_case(name: str, file: str, content: Bytes, *, refuse: bool = False) -> Case:
    good = encoded(picture(np.random.default_rng(1)), "PNG")
    return Case(name, file, {"good.png": good, file: content}, refuse=refuse)


def picture(rng: np.random.Generator, width: int = 96, height: int = 64) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def damaged(data: bytes, suffix: str, rng: np.random.Generator) -> Iterator[tuple[str, bytes, bool]]:
    """What was done, the damaged file, and whether it can no longer be an image."""
    length = len(data)
    for share in (0.1, 0.5, 0.9):
        yield f"cut at {share}", data[: int(length * share)], share < 0.5
    for count in (1, 8, 64):
        flipped = np.frombuffer(data, np.uint8).copy()
        flipped[rng.integers(0, length, count)] ^= (1 << rng.integers(0, 8, count)).astype(np.uint8)
        yield f"{count} bits flipped", flipped.tobytes(), False
    head = np.frombuffer(data, np.uint8).copy()
    head[4 : min(64, length)] ^= (rng.random(min(64, length) - 4) < 0.2).astype(np.uint8) * 0x55
    yield "header scrambled", head.tobytes(), False
    yield "wrong magic", b"\0\1\2\3\4\5\6\7\0\1\2\3" + data[12:], True
    yield "zero bytes", b"", True
    middle = bytes(rng.integers(0, 256, 40).astype(np.uint8))
    yield "a block overwritten", data[: length // 2] + middle + data[length // 2 + 40 :], False
    yield "something appended", data + bytes(rng.integers(0, 256, 400).astype(np.uint8)), False
    if suffix in SIZES:
        layout, place = SIZES[suffix]
        largest = 2 ** (31 if layout[1] in "Ii" else 16) - 1
        for what, sides in {"huge": (largest, largest), "zero": (0, 0), "one huge side": (largest, 3)}.items():
            yield f"{what} in the header", resized(data, place(data), layout, sides), what == "zero" and suffix != "gif"


def resized(data: bytes, place: int, layout: str, sides: tuple[int, int]) -> bytes:
    sides = (sides[0], sides[1])
    changed = data[:place] + struct.pack(layout, *sides) + data[place + struct.calcsize(layout) :]
    if changed.startswith(b"\x89PNG"):
        changed = changed[:29] + struct.pack(">I", zlib.crc32(changed[12:29])) + changed[33:]
    return changed


def oddities(rng: np.random.Generator) -> Iterator[tuple[str, str, bytes]]:
    """Images that are fine and that programs stumble over."""
    image = picture(rng)
    ramp = np.linspace(0, 65535, 64 * 96).reshape(64, 96)
    for mode in ("CMYK", "L"):
        yield f"{mode} jpg", "jpg", encoded(image.convert(mode), "JPEG")
    for mode in ("1", "L", "LA", "RGBA"):
        yield f"{mode} png", "png", encoded(image.convert(mode), "PNG")
    yield "palette png", "png", encoded(image.quantize(16), "PNG", transparency=3)
    yield "16 bits png", "png", encoded(Image.fromarray(ramp.astype(np.uint16)), "PNG")
    yield "32 bits tif", "tif", encoded(Image.fromarray(ramp.astype(np.int32)), "TIFF")
    yield "floats tif with nan", "tif", encoded(Image.fromarray(np.where(ramp > 9e3, np.nan, ramp / 3)), "TIFF")
    yield "all nan tif", "tif", encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF")
    yield "infinite tif", "tif", encoded(Image.fromarray(np.full((8, 8), np.inf, np.float32)), "TIFF")
    for mode in ("CMYK", "LAB", "YCbCr"):
        yield f"{mode} tif", "tif", encoded(image.convert("RGB").convert(mode) if mode != "LAB" else lab(image), "TIFF")
    frames = [picture(rng) for _ in range(5)]
    for format, suffix in (("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png"), ("TIFF", "tif")):
        yield f"animated {suffix}", suffix, encoded(frames[0], format, save_all=True, append_images=frames[1:])
    for turn in (3, 6, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"EXIF orientation {turn} jpg", "jpg", encoded(image, "JPEG", exif=exif)
    yield "broken EXIF jpg", "jpg", encoded(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff\xff broken")
    yield "1 x 1 png", "png", encoded(image.resize((1, 1)), "PNG")
    yield "30000 x 1 png", "png", encoded(image.resize((30000, 1)), "PNG")
    yield "png called jpg", "jpg", encoded(image, "PNG")
    yield "broken colour profile png", "png", encoded(image, "PNG", icc_profile=bytes(range(256)))


def lab(image: Image.Image) -> Image.Image:
    return Image.merge("LAB", image.split())


def bombs() -> Iterator[tuple[str, str, Bytes, bool]]:
    """Small files of many pixels or much work; those that boxless takes must stay below the limits."""

    def flat(mode: str, width: int, height: int, format: str, **options: object) -> Callable[[], bytes]:
        return lambda: encoded(Image.new(mode, (width, height)), format, **options)

    for mode in ("1", "L", "P", "RGB", "RGBA", "I;16"):
        yield f"{mode} png of 100 megapixels", "png", flat(mode, 10000, 10000, "PNG"), False
    for width, height in ((1, 50_000_000), (50_000_000, 1), (3, 1_000_000)):
        yield f"png of {width} x {height}", "png", flat("L", width, height, "PNG"), False
    for megapixels, side in ((170, 13000), (400, 20000)):
        yield f"png of {megapixels} megapixels", "png", flat("L", side, side, "PNG"), True
    for mode, side in (("F", 8000), ("F", 10000), ("RGBA", 10000), ("CMYK", 10000)):
        deflate = flat(mode, side, side, "TIFF", compression="tiff_adobe_deflate")
        yield f"{mode} tif of {side} x {side}", "tif", deflate, mode == "F" and side == 10000
    for format, suffix, options in (
        ("WEBP", "webp", {"lossless": True, "method": 0}), ("GIF", "gif", {}), ("JPEG2000", "jp2", {}),
    ):  # fmt: skip
        mode = {"WEBP": "RGBA", "GIF": "P"}.get(format, "RGB")
        for side in (8000, 10000):
            yield f"{suffix} of {side} x {side}", suffix, flat(mode, side, side, format, **options), side == 10000
    for side, progressive in ((10000, True), (14100, False), (14100, True), (25000, False)):
        kind = "progressive jpg" if progressive else "jpg"
        content = flat("RGB", side, side, "JPEG", progressive=progressive, subsampling=0)
        yield f"{kind} of {side} x {side}", "jpg", content, side == 25000 or (progressive and side > 10000)
    yield "jpg of 3000 scans", "jpg", lambda: many_scans(8000, 3000), False
    yield "png with 200 MB of compressed text", "png", lambda: text_bomb(200_000_000), False
    yield "animated gif of 4000 frames", "gif", lambda: long_film(4000), False


def long_film(frames: int) -> bytes:
    others = [Image.new("P", (400, 400), 1 + number % 200) for number in range(frames - 1)]
    return encoded(Image.new("P", (400, 400)), "GIF", save_all=True, append_images=others)


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encoded(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + (scans - 1) * data[last:-2] + data[-2:]


def text_bomb(length: int) -> bytes:
    data = encoded(Image.new("RGB", (8, 8)), "PNG")
    body = b"zTXtComment\0\0" + zlib.compress(bytes(length))
    return data[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
