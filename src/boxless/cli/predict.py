"""`boxless predict`: a trained run over a folder -> boxes, in the same shape as `boxless find` leaves them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from boxless.cli import console
from boxless.cli.find import Format, Precision


def predict(
    run: Path,
    photos: Path,
    *,
    out: Path = Path("predicted"),
    format: Format = "coco",
    report: Annotated[bool, Parameter(negative="")] = False,
    multiple: Annotated[bool, Parameter(negative="")] = False,
    threshold: float | None = None,
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
    """Find boxes with a trained run.

    Example: boxless predict runs/birds photos --out birds --format voc

    Parameters
    ----------
    run
        Folder that `boxless train` wrote (its best.pt is used), or one checkpoint.
    photos
        Folder (or zip) of images.
    out
        Folder for the boxes, summary.json and report.html.
    format
        What detectors read: coco (boxes.json), voc (xml files), yolo (text files) or csv (boxes.csv).
    report
        Also write report.html: every image with its box and heat map.
    multiple
        A box for every component of the heat map instead of the largest one.
    threshold
        What counts as object, as a fraction of the heat map's range, 0 to 1; default: the one stored in the run.
    batch_size
        Images per forward pass.
    workers
        Threads that read images.
    device
        auto, cpu, cuda or cuda:N.
    devices
        Processes on each machine, each with a processor's share or a GPU of its own.
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
    from boxless.export import check_folder
    from boxless.runtime.checkpoint import find_checkpoint

    find_checkpoint(run)
    if not resume:
        check_folder(out, format, overwrite=overwrite)
    data = read_data(photos, "all")
    from boxless.inference.factory import trained  # torch, once the arguments are known to be good
    from boxless.runtime.devices import team_on

    place, team = team_on(device, devices, nodes)
    predictor = trained(
        run,
        threshold=threshold,
        batch_size=batch_size,
        workers=workers,
        device=str(place),
        precision=precision,
    )
    return console.searched(
        "predicting",
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
