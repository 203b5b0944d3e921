"""Six small photos in two classes with found boxes, as reviews begin."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

ROWS = {
    "bee/0.png": "60,40,5,6,25,26,0.9",
    "bee/1.png": "60,40,10,10,30.5,30,0.8",
    "bee/2.png": "60,40,1,2,3,4,0.7",
    "fly/3.png": "60,40,20,5,50,35,0.6",
    "fly/4.png": "60,40,0,0,60,40,0.5",
}


def make_review(root: Path) -> tuple[Path, Path]:
    """The folder of boxes, which says nothing of fly/5.png, and the folder of photos."""
    photos, found = root / "photos", root / "found"
    for index, name in enumerate([*ROWS, "fly/5.png"]):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        picture = np.full((40, 60, 3), 40 * index, np.uint8)
        Image.fromarray(picture).save(photos / name)
    found.mkdir()
    rows = (f"{name},{name.partition('/')[0]},{row}\n" for name, row in ROWS.items())
    (found / "boxes.csv").write_text("image,class,width,height,x0,y0,x1,y1,score\n" + "".join(rows))
    (found / "summary.json").write_text(json.dumps({"method": "ddt"}))
    return found, photos
