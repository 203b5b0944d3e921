"""labelme's own writer and reader of its json, without its window: what saving a rectangle or a mask leaves."""

import base64
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from labelme import _label_file as label_file
from labelme import utils
from PIL import Image
from record import image, record


def write(exports: Path, out: Path, mask: bool = False) -> list[dict[str, Any]]:
    shutil.copytree(exports / "photos", out, dirs_exist_ok=True)
    held = []
    for path in sorted(path for path in out.rglob("*") if path.suffix in (".jpg", ".png")):
        content = label_file.read_image_file(str(path))
        width, height = utils.img_data_to_pil(img_data=content).size
        label, box = path.parent.name, (3, 5, width - 20, height - 1)
        shape: dict[str, Any] = {"label": label, "group_id": None, "flags": {}, "description": ""}
        shape |= masked(box) if mask else {"points": [list(box[:2]), list(box[2:])], "shape_type": "rectangle"}
        name = path.with_suffix(".json")
        label_file.write_label_file(
            str(name), shapes=[shape], image_path=path.name, image_height=height, image_width=width
        )
        assert label_file.LabelFile(str(name)).image_path == path.name  # it reads what it wrote, size and all
        held.append(image(path.relative_to(out), (width, height), [(label, *box, None)]))
    return held


def masked(box: tuple[int, int, int, int]) -> dict[str, Any]:
    """A mask that fills the box, as utils.shapes_to_label lays it: into mask[y0 : y1 + 1, x0 : x1 + 1]."""
    x0, y0, x1, y1 = box
    png = io.BytesIO()
    Image.fromarray(np.full((y1 - y0, x1 - x0), 255, np.uint8)).save(png, "PNG")
    points = [[x0, y0], [x1 - 1, y1 - 1]]
    return {"points": points, "shape_type": "mask", "mask": base64.b64encode(png.getvalue()).decode()}


record(
    "labelme",
    {},
    {
        ("labelme", "rectangles"): write,
        ("labelme", "masks"): lambda exports, out: write(exports, out, mask=True),
    },
)
