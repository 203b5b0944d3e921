"""docs/picture.jpg: galaxies that `boxless find` finds with its defaults; several.jpg: made scenes of several objects.

    python docs/make_picture.py

The galaxies are the Hubble eXtreme Deep Field (NASA, ESA and the XDF team, 2012), in the public domain; scikit-image
carries the photograph (pip install scikit-image). Windows of 112 pixels are cut around its brightest places, each moved
at random so that no galaxy lies in the middle by design. The first 16 of the 32 are shown, whatever was found in them.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from skimage.data import hubble_deep_field  # needed here alone

from boxless.data.dataset import Dataset
from boxless.data.folder import read_data
from boxless.data.images import Picture, read_picture
from boxless.data.synthetic import make_scenes
from boxless.inference.factory import discoverer
from boxless.inference.predictors import detections_in
from boxless.report.drawing import save_picture, sheet, triptych
from boxless.runtime.progress import Progress

HERE = Path(__file__).parent
SIDE, APART, COUNT, SHOWN = 112, 45, 32, 16


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sky = Path(folder) / "galaxies"
        sky.mkdir()
        for index, window in enumerate(windows(hubble_deep_field())):
            cv2.imwrite(str(sky / f"{index:02d}.png"), window[:, :, ::-1])
        save_picture(HERE / "picture.jpg", sheet(panels("auto", read_data(sky, "all"))[:SHOWN], columns=4))
        make_scenes(Path(folder) / "groups", 24, kinds=("star",), size=320, test=1.0, seed=7, objects=8)
        groups = read_data(Path(folder) / "groups", "test")
        save_picture(HERE / "several.jpg", sheet(panels("several", groups, multiple=True)[:6], columns=2))


def panels(method: str, photos: Dataset, multiple: bool = False) -> list[Picture]:
    """Picture, heat map and overlay of each image, with its boxes."""
    predictor, shown = discoverer(method), list[Picture]()
    for mapped in predictor.maps(photos, Progress()):
        picture = read_picture(photos.source.read(mapped.sample.name), mapped.sample.name)
        boxes = detections_in(mapped, predictor.readout, "object", multiple=multiple).boxes
        how = predictor.readout.normalisation
        shown.append(triptych(picture, mapped.heat, boxes, mapped.sample.boxes, normalisation=how))
    return shown


def windows(sky: UInt8[np.ndarray, "height width 3"]) -> list[UInt8[np.ndarray, "side side 3"]]:
    """Windows around the brightest places, the brightest first, none of them beyond the edge."""
    rng, found = np.random.default_rng(0), list[UInt8[np.ndarray, "side side 3"]]()
    light = cv2.GaussianBlur(sky.mean(2, dtype=np.float32), (0, 0), 5)
    while len(found) < COUNT:
        y, x = np.unravel_index(light.argmax(), light.shape)
        light[max(0, y - APART) : y + APART, max(0, x - APART) : x + APART] = 0
        left, top = (np.array([x, y]) - SIDE / 2 + rng.uniform(-0.3, 0.3, 2) * SIDE).astype(int)
        if min(left, top) >= 0 and left + SIDE <= sky.shape[1] and top + SIDE <= sky.shape[0]:
            found.append(sky[top : top + SIDE, left : left + SIDE])
    return found


if __name__ == "__main__":
    main()
