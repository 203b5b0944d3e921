"""`boxless evaluate`: how good are the boxes, beside what no method at all would score."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from boxless.cli import console
from boxless.cli.find import Precision


def evaluate(
    target: str,
    data: Path,
    *,
    split: str | None = None,
    fit: str | None = None,
    classes: str | None = None,
    one_category: Annotated[bool, Parameter(negative="")] = False,
    threshold: float | None = None,
    out: Path | None = None,
    maps: Path | None = None,
    batch_size: Annotated[int, Parameter(alias="-b")] = 16,
    workers: Annotated[int, Parameter(alias="-j")] = 2,
    device: str = "auto",
    precision: Precision = "auto",
    seed: int = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure a trained run or a training-free method on images with known boxes.

    The score at the method's own threshold stands beside a threshold transferred from other images, the oracle, and
    the controls: whole image, centred box, saliency, an untrained network, shuffled maps.

    Example: boxless evaluate ddt cub --split test

    Parameters
    ----------
    target
        A run folder, a checkpoint, or the name of a training-free method (ddt, contrast).
    data
        Folder or zip with a boxes.csv, COCO json, or data in the layout of YOLO, Pascal VOC, ... (docs/formats.md).
    split
        The split that is scored; default: test, else val.
    fit
        The split whose boxes choose the transferred threshold and the centred box, or "none"; default: train.
    classes
        Only these classes, separated by commas, or the name of a group: artiodactyla, bottle, bird, cat, dog, vehicle.
    one_category
        Take all classes together as one category, for methods without labels.
    threshold
        What counts as object, as a fraction of the heat map's range, 0 to 1; default: the method's own.
    out
        Folder for result.json and report.html; default: nothing is written.
    maps
        File (.npz) for the raw heat maps, as `boxless score` reads them; default: they are not kept.
    batch_size
        Images per forward pass.
    workers
        Threads that read images.
    device
        auto, cpu, cuda or cuda:N.
    precision
        Numbers in the network: bf16, fp32, or auto for bf16 where the device is faster with it.
    seed
        Of the bootstrap intervals, the shuffled maps and the untrained network.
    json
        Print the result as JSON.

    """
    from boxless.cli.measurement_tables import print_measurement
    from boxless.data.splits import splits_for

    test, other = splits_for(data, split=split, fit=fit, classes=classes, one_category=one_category)
    from boxless.evaluation.evaluate import evaluate as measure  # torch, once the arguments are known to be good
    from boxless.evaluation.results import evaluation_result, write_evaluation, write_maps
    from boxless.inference.factory import predictor_named, untrained

    options = {
        "threshold": threshold,
        "batch_size": batch_size,
        "workers": workers,
        "device": device,
        "precision": precision,
    }
    predictor = predictor_named(target, **options)
    control = untrained(predictor, other or test, seed=seed)
    total = len(test) * (2 if control else 1) + (len(other) if other else 0)
    with console.counting("evaluating", total) as progress:
        measured, mapped = measure(predictor, test, progress, fit=other, untrained=control, seed=seed)
    content = evaluation_result(measured, predictor, test, other, progress, seed=seed)
    if out is not None:
        write_evaluation(out, content, measured, mapped, test, predictor)
    if maps is not None:
        write_maps(maps, mapped)
    if json:
        console.result(content)
    else:
        print_measurement(measured, console.out)
    return 0
