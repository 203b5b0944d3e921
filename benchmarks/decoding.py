"""JPEG decoders against the one that boxless reads with, on the same files, in turns.

    python benchmarks/decoding.py --out decoding.json [--repeats 7] [--turbojpeg libturbojpeg.so.0]

Each decodes to RGB at the smallest of 1, 1/2, 1/4, 1/8 of the side that is not below 288 pixels; simplejpeg and
PyTurboJPEG are left out where they are not installed. Figures are medians of milliseconds of the processor for one
file, on one thread; "all of reading" is boxless's own way from the bytes to a square, which decoding is a part of. What
a decoder does with a file whose second half is missing stands beside: boxless promises to name such a file.
"""

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin

from boxless.data.images import read_resized
from boxless.data.synthetic import make_scenes
from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

SIZE = 288
Decoder = Callable[[bytes], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--turbojpeg", help="the library that PyTurboJPEG loads, where it does not find it")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    ways = decoders(asked.turbojpeg)
    found = {name: measured(data, ways, asked.repeats) for name, data in files(asked.out.parent / "scenes").items()}
    write_json(
        asked.out,
        {**provenance(), "size": SIZE, "repeats": asked.repeats, "load": os.getloadavg()[0], "milliseconds": found},
    )
    print(asked.out.read_text())


def files(folder: Path) -> dict[str, bytes]:
    """A drawn scene as baseline, progressive and CMYK files of two sizes."""
    make_scenes(folder, 2, kinds=("beetle",), size=512, test=0)
    scene = Image.open(next(folder.rglob("*.jpg"))).convert("RGB")
    found = {}
    for width, height in ((500, 375), (4000, 3000)):
        picture = scene.resize((width, height), Image.Resampling.BICUBIC)
        grain = np.random.default_rng(0).normal(0, 6, (height, width, 1))  # else a large file is all blank blocks
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
        kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
            ("baseline", picture, {}),
            ("progressive", picture, {"progressive": True}),
            ("CMYK", picture.convert("CMYK"), {}),
        ]
        for kind, image, options in kinds:
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=90, **options)
            found[f"{width} x {height}, {kind}"] = stream.getvalue()
    return found


def decoders(library: str | None) -> dict[str, Decoder]:
    found: dict[str, Decoder] = {"pillow, draft": by_pillow, "opencv, reduced": by_opencv}
    try:
        import simplejpeg

        found["simplejpeg"] = lambda data: simplejpeg.decode_jpeg(
            data, "RGB", min_height=SIZE, min_width=SIZE, min_factor=1
        )
    except ImportError:
        pass
    try:
        from turbojpeg import TJPF_RGB, TurboJPEG

        turbo = TurboJPEG(library)
        found["PyTurboJPEG"] = lambda data: turbo.decode(
            data, pixel_format=TJPF_RGB, scaling_factor=(1, reduction(*turbo.decode_header(data)[:2]))
        )
    except (ImportError, RuntimeError, OSError):
        pass
    return found


def by_pillow(data: bytes) -> Any:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft(None, (SIZE, SIZE))
    return np.asarray(image.convert("RGB"))


def by_opencv(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:  # the header alone
        factor = reduction(*image.size)
    flags = {1: cv2.IMREAD_COLOR_RGB, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags.get(factor, cv2.IMREAD_REDUCED_COLOR_8))
    if picture is None:
        raise ValueError("not decoded")
    return picture if factor == 1 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def reduction(width: int, height: int) -> int:
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or min(width, height) // factor >= SIZE)


def measured(data: bytes, ways: dict[str, Decoder], repeats: int) -> dict[str, Any]:
    spent: dict[str, list[float]] = {}
    whole = {**ways, "all of reading": lambda content: read_resized(content, "a file", SIZE)}
    for _ in range(repeats + 1):
        for name, decode in whole.items():
            began = time.process_time()
            if not refusal(decode, data):
                spent.setdefault(name, []).append(1e3 * (time.process_time() - began))
    half = data[: len(data) // 2]
    return {
        name: {"ms": statistics.median(spent[name][1:])} if name in spent else {"refused": refusal(decode, data)}
        for name, decode in whole.items()
    } | {"half a file": {name: refusal(decode, half) or "a picture, without a word" for name, decode in whole.items()}}


def refusal(decode: Decoder, data: bytes) -> str:
    try:
        decode(data)
    except Exception as error:  # each library has its own
        return f"{type(error).__name__}: {error}"[:120]
    return ""


if __name__ == "__main__":
    main()
