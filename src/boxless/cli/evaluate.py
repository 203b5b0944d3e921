"""`boxless evaluate`: how good are the boxes, beside what no method at all would score."""

from pathlib import Path
from typing import Any

from boxless.cli.flags import Inference, Reading, Several, Switch


def evaluate(
    target: str,
    data: Path,
    *,
    split: str | None = None,
    fit: str | None = None,
    out: Path | None = None,
    maps: Path | None = None,
    seed: int = 0,
    closer: Switch = False,
    json: Switch = False,
    flags: Inference = Inference(),
    several: Several = Several(),
    reading: Reading = Reading(),
) -> int:
    """Measure a trained run or a training-free method on images with known boxes.

    The score at the method's own threshold stands beside a threshold transferred from other images, the oracle, and
    the controls: whole image, centred box, saliency, an untrained network, shuffled maps.

    Example: boxless evaluate ddt cub --split test

    Parameters
    ----------
    target
        A run folder, a checkpoint, or the name of a method without labels (auto, ddt, discriminant, contrast, saliency,
        position, several).
    data
        Folder or zip with a boxes.csv, COCO json, or data in the layout of YOLO, Pascal VOC, ... (docs/formats.md).
    split
        The split that is scored; default: test, else val.
    fit
        The split whose boxes choose the transferred threshold and the centred box, or "none"; default: train.
    out
        Folder for result.json and report.html; default: nothing is written.
    maps
        File (.npz) for the raw heat maps, as `boxless score` reads them; default: they are not kept.
    seed
        Of the bootstrap intervals, the shuffled maps and the untrained network.
    closer
        Look at the part of each image around its box again, as `find --closer` does.
    json
        Print the result as JSON.
    flags
        What commands that run a finished method have in common.
    several
        Whether AP and counting are of a box for each object, as they always are for several and a detector.
    reading
        What commands that read boxes have in common.

    """
    from boxless.cli import console
    from boxless.data.splits import splits_for

    if target != "several":
        several.check_tiles()
    restrict: dict[str, Any] = {"classes": flags.classes, "one_category": flags.one_category}
    test, other = splits_for(data, split=split, fit=fit, strict=reading.strict, **restrict)
    from boxless.cli.measurement_tables import print_measurement
    from boxless.evaluation.evaluate import evaluate as measure  # torch, once the arguments are known to be good
    from boxless.evaluation.results import chosen, evaluation_result, write_evaluation, write_maps
    from boxless.inference.factory import predictor_named, untrained
    from boxless.inference.tiles import in_tiles

    options = flags.options(images=test, multiple=several.multiple, closer=closer)
    predictor = in_tiles(predictor_named(target, **options), several.tiles, test)
    control = untrained(predictor, other or test, seed=seed)
    total = len(test) * (2 if control else 1) + (len(other) if other else 0)
    with console.counting("evaluating", total) as progress:
        asked = {"multiple": several.multiple or predictor.several} | several.reading()
        measured, mapped = measure(predictor, test, progress, fit=other, untrained=control, several=asked, seed=seed)
    content = evaluation_result(measured, predictor, test, other, progress, seed=seed)
    content["notes"] = mapped.noticed(predictor.category)
    if out is not None:
        write_evaluation(out, content, measured, mapped, test, predictor)
    if maps is not None:
        write_maps(maps, mapped)
    if json:
        console.result(content)
    else:
        print_measurement(measured, console.out)
        for line in chosen(content["notes"]):
            console.out.print(line, markup=False, highlight=False)
    return 0
