"""docs/picture.jpg and several.jpg: boxes found in made photographs, one in each and several.

python docs/make_picture.py
"""

import tempfile
from pathlib import Path

from boxless.boxes.from_heatmap import Readout
from boxless.data.folder import read_data
from boxless.data.images import Picture, read_picture
from boxless.data.synthetic import make_scenes
from boxless.evaluation.evaluate import compute_heatmaps
from boxless.evaluation.thresholds import transferred
from boxless.inference.factory import discoverer
from boxless.inference.predictors import ImageHeatmap, detections_in
from boxless.report.drawing import save_picture, sheet, triptych
from boxless.runtime.progress import Progress

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_scenes(Path(folder) / "scenes", 100, size=128, test=0.08, seed=7)
        predictor = discoverer("ddt", size=384)
        train = compute_heatmaps(predictor, read_data(Path(folder) / "scenes", "train"), Progress()).boxed()
        predictor.readout = transferred(*train.split())
        test = read_data(Path(folder) / "scenes", "test")
        shown = []
        for mapped in list(predictor.maps(test, Progress()))[:8]:
            shown.append(panel(mapped, predictor.readout, read_picture(test.source.read(mapped.sample.name), "scene")))
        save_picture(HERE / "picture.jpg", sheet(shown, columns=2))
        make_scenes(Path(folder) / "groups", 24, kinds=("star",), size=320, test=1.0, seed=7, objects=8)
        several, groups = discoverer("several"), read_data(Path(folder) / "groups", "test")
        shown = [
            panel(mapped, several.readout, read_picture(groups.source.read(mapped.sample.name), "scene"), multiple=True)
            for mapped in list(several.maps(groups, Progress()))[:6]
        ]
        save_picture(HERE / "several.jpg", sheet(shown, columns=2))


def panel(mapped: ImageHeatmap, readout: Readout, picture: Picture, multiple: bool = False) -> Picture:
    found = detections_in(mapped, readout, "beetle", multiple=multiple)
    return triptych(picture, mapped.heat, found.boxes, mapped.sample.boxes, normalisation=readout.normalisation)


if __name__ == "__main__":
    main()
