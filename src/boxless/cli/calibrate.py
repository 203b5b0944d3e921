"""`boxless calibrate`: a few boxed images -> the method and the threshold for `boxless find`."""

from pathlib import Path
from shlex import quote

from boxless.cli import console
from boxless.cli.flags import Inference, Reading, Switch
from boxless.runtime.errors import UsageError


def calibrate(
    photos: Path,
    *,
    boxes: Path,
    out: Path = Path("found.toml"),
    json: Switch = False,
    flags: Inference = Inference(),
    reading: Reading = Reading(),
) -> int:
    """Choose method and threshold by ten to fifty boxed images, and say what to expect on the others.

    Example: boxless calibrate photos --boxes ten.csv --out found.toml

    Parameters
    ----------
    photos
        Folder (or zip) of all images that are to be searched, boxed or not.
    boxes
        The boxes of some of them: a boxes.csv, a COCO json, or the folder that review or an export wrote.
    out
        File for the choice, which `boxless find photos --config found.toml` takes.
    json
        Print the choice and its numbers as JSON.
    flags
        What commands that run a method have in common.
    reading
        What commands that read boxes have in common.

    """
    from boxless.data.folder import read_data
    from boxless.data.splits import restricted
    from boxless.evaluation.calibrate import calibrated, with_boxes
    from boxless.inference.factory import discoverer
    from boxless.runtime.files import write_text_atomic

    if flags.threshold is not None:
        raise UsageError("The threshold is what calibrate chooses. Leave --threshold out.")
    images = restricted(read_data(photos, "all"), flags.classes, one_category=flags.one_category)
    data = with_boxes(images, boxes, strict=reading.strict)
    found = calibrated(data, lambda method: discoverer(method, **flags.options(images=data)), console.counting)
    write_text_atomic(out, [found.to_toml()], "the settings")
    if json:
        console.result(found.to_dict() | {"out": str(out)})
        return 0
    for sentence in found.words():
        console.line(sentence)
    asked = f" --classes {quote(flags.classes)}" if flags.classes else ""
    asked += " --one-category" if flags.one_category else ""
    console.line(f"Written to {out}. Next: boxless find {quote(str(photos))} --config {quote(str(out))}{asked}")
    return 0
