"""`boxless score`: bring your own heat maps; every published protocol by name."""

from pathlib import Path

from boxless.cli import console
from boxless.cli.flags import Reading, Switch


def score(
    maps: Path,
    truth: Path,
    *,
    protocol: tuple[str, ...] = ("boxless",),
    predictions: Path | None = None,
    masks: Path | None = None,
    out: Path | None = None,
    json: Switch = False,
    reading: Reading = Reading(),
) -> int:
    """Score heat maps that any program made, under one protocol or several side by side.

    Example: boxless score maps boxes.csv --protocol boxless --protocol wsoleval-v2

    Parameters
    ----------
    maps
        Folder of .npy or 8- or 16-bit .png files named like the images (their extension may stay), or one .npz.
    truth
        A boxes.csv, a COCO json, a folder that find wrote, or data with boxes in a layout that is read.
    protocol
        boxless, wsoleval-v1, wsoleval-v2, pxap, cam2016, tscam or psol; may be given several times.
    predictions
        CSV of the predicted classes: image, then class names, the likeliest first; gives Top-1 and Top-5 Loc.
    masks
        Folder of true masks (IMAGE.png) for pxap.
    out
        File for the result as JSON; default: none.
    json
        Print the result as JSON.
    reading
        What commands that read boxes have in common.

    """
    from boxless.cli.measurement_tables import print_scores
    from boxless.evaluation.score_files import score as measure
    from boxless.runtime.files import write_json

    scores = measure(maps, truth, protocols=protocol, predictions=predictions, masks=masks, strict=reading.strict)
    if out is not None:
        write_json(out, scores.to_dict())
    if json:
        console.result(scores.to_dict())
    else:
        print_scores(scores, console.out)
    return 0
