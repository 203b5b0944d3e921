"""`boxless find`: photographs -> boxes, with no training and no labels."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from boxless.cli import console

Format = Literal["coco", "voc", "yolo", "csv"]
Precision = Literal["auto", "fp32", "bf16"]


def find(
    photos: Path,
    *,
    out: Path = Path("found"),
    method: Literal["ddt", "contrast"] = "ddt",
    format: Format = "coco",
    report: Annotated[bool, Parameter(negative="")] = False,
    multiple: Annotated[bool, Parameter(negative="")] = False,
    classes: str | None = None,
    one_category: Annotated[bool, Parameter(negative="")] = False,
    threshold: float | None = None,
    size: int | None = None,
    backbone: str | None = None,
    stride: int | None = None,
    batch_size: Annotated[int, Parameter(alias="-b")] = 16,
    workers: Annotated[int, Parameter(alias="-j")] = 2,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: Precision = "auto",
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find the object that the photos of a folder have in common. Nothing is trained and no label is needed.

    Example: boxless find photos --out found --format yolo --report

    Parameters
    ----------
    photos
        Folder (or zip) of images of one category, or with one sub-folder per category.
    out
        Folder for the boxes, summary.json and report.html.
    method
        ddt: deep descriptor transforming over ImageNet features. contrast: difference from the image's own border, with
        no network at all, for images unlike any photograph.
    format
        What detectors read: coco (boxes.json), voc (xml files), yolo (text files) or csv (boxes.csv).
    report
        Also write report.html: every image with its box and heat map.
    multiple
        A box for every component of the heat map instead of the largest one.
    classes
        Only these sub-folders, separated by commas, or a group: artiodactyla, bottle, bird, cat, dog, vehicle.
    one_category
        Take all sub-folders together as one category.
    threshold
        What counts as object, as a fraction of the heat map's range, 0 to 1; default: the method's own.
    size
        Side of the square that images are resized to, in pixels; default: the method's own (ddt 288, contrast 64).
    backbone
        The network whose features ddt uses, by its name in the list of `boxless methods`; default: lite0, whose weights
        come with boxless (others: found on disk or downloaded).
    stride
        Pixels of the resized image per place of the heat map; default: the method's own (ddt 16, contrast 4).
    batch_size
        Images per forward pass.
    workers
        Threads that read images.
    device
        auto, cpu, cuda or cuda:N.
    devices
        Processes on each machine, each with a processor's share or a GPU of its own, whole categories to each.
    nodes
        Machines, with --out on storage that they share. torchrun and srun tell devices and nodes by themselves.
    precision
        Numbers in the network: bf16, fp32, or auto for bf16 where the device is faster with it.
    resume
        Go on where a search into the output folder was stopped or killed; without one, begin.
    overwrite
        Replace what an earlier export left in the output folder.
    json
        Print the summary as JSON.

    """
    from boxless.data.folder import read_data
    from boxless.data.splits import restricted
    from boxless.export import check_folder

    if not resume:
        check_folder(out, format, overwrite=overwrite)
    data = restricted(read_data(photos, "all"), classes, one_category=one_category)
    from boxless.inference.factory import discoverer  # torch, once the arguments are known to be good
    from boxless.runtime.devices import team_on

    place, team = team_on(device, devices, nodes)
    predictor = discoverer(
        method,
        backbone=backbone,
        stride=stride,
        size=size,
        threshold=threshold,
        batch_size=batch_size,
        workers=workers,
        device=str(place),
        precision=precision,
    )
    return console.searched(
        "finding",
        predictor,
        data,
        out,
        team,
        as_json=json,
        format=format,
        report=report,
        multiple=multiple,
        overwrite=overwrite,
        resume=resume,
    )
