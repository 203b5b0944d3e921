"""`boxless review`: boxes -> a page in the browser -> boxes that a person has looked at."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from boxless.cli import console
from boxless.cli.flags import Reading, Switch
from boxless.runtime.errors import number_of

if TYPE_CHECKING:
    from boxless.review.again import FindAgain
    from boxless.review.opening import Opened
    from boxless.runtime.progress import ProgressFactory


BETTER = 0.02
"""Mean IoU by which other boxes must be nearer to the decided ones than those that a person was shown."""
ROUNDING = {"boxless", "batch size", "bf16", "engine"}
"""What of a search may have been another one, and its boxes are the same within rounding."""


def review(
    boxes: Path,
    photos: Path,
    *,
    out: Path = Path("reviewed"),
    export: Literal["coco", "voc", "yolo"] | None = None,
    port: int = 0,
    open: Switch = False,
    json: Switch = False,
    reading: Reading = Reading(),
) -> int:
    """Accept, reject or correct boxes with mouse and keyboard, in the browser of this machine.

    Every decision is saved at once. The same command again goes on where you stopped; Ctrl-C ends it.

    Example: boxless review found photos

    Parameters
    ----------
    boxes
        What `boxless find` or `boxless predict` wrote in any format, boxes in any layout that is read, or a run, which
        then predicts first.
    photos
        Folder (or zip) of the images that the boxes were found in.
    out
        Folder for boxes.csv, with who found each box, review.jsonl, with every decision, and exports.
    export
        Write what is reviewed so far in this format into a folder below OUT, and end.
    port
        Of 127.0.0.1; default: any that is free.
    open
        Open the page in the browser.
    json
        Print the counts as JSON when the review ends.
    reading
        What commands that read boxes have in common.

    """
    from boxless.review.opening import opened
    from boxless.review.server import serve

    if (boxes / "best.pt").is_file():
        boxes = _predicted(boxes, photos, out / "found")
    with opened(boxes, photos, out, strict=reading.strict) as review:
        if review.links:
            links = number_of(review.links, "image is a link", "images are links")
            console.note(f"{links} out of {photos}, left out.")
        if replaced := review.review.replaced:
            first = review.review.proposals[replaced[0]].name
            photographs = number_of(len(replaced), "photograph")
            console.note(f"Replaced since you decided, and waiting again: {photographs}, such as {first}.")
        if export is None:
            serve(review, port, lambda address: _announce(address, browse=open), _find_again(photos, review))
        else:
            console.note(f"Exported to {review.export(export)}.")
        counts = review.review.counts()
    if json:
        console.result({"images": counts, "out": str(out)})
        return 0
    counted = ", ".join(f"{count} {word}" for word, count in counts.items())
    console.line(f"Saved to {out / 'boxes.csv'}: {counted}.")
    return 0


def _announce(address: str, *, browse: bool) -> None:
    console.note("Open this address in the browser of this machine; Ctrl-C here ends the review.")
    console.notes.print(address, markup=False, highlight=False)
    if browse:
        import webbrowser

        webbrowser.open(address)


def _find_again(photos: Path, opened: "Opened") -> "FindAgain":
    """What finds again by the boxes that were decided on: `boxless calibrate`, then `boxless find`."""
    one_category = len(opened.review.classes) == 1

    def find(given: Path, out: Path, counting: "ProgressFactory") -> list[str]:
        from boxless.data.folder import read_data
        from boxless.data.splits import restricted
        from boxless.evaluation.calibrate import calibrated, with_boxes
        from boxless.inference.factory import discoverer
        from boxless.inference.predict_folder import predict_folder

        data = restricted(read_data(photos, "all"), None, one_category=one_category)
        chosen = calibrated(with_boxes(data, given), discoverer, counting)
        shown, offered = opened.review.iou, float((chosen.left_out if chosen.chosen else chosen.reference).mean())
        beside = f"mean IoU with yours {shown:.2f}, of {chosen.settings()['method']} {offered:.2f}"
        if offered < shown + BETTER:
            return [chosen.words()[0], f"The boxes that you see are kept ({beside})."]
        predictor = discoverer(**chosen.settings())
        with counting(f"finding, {predictor.name}") as progress:
            progress.expect(len(data))
            predict_folder(predictor, data, out, progress, format="csv")
        return [chosen.words()[0], f"What you had not reviewed was found again ({beside})."]

    return find


def _predicted(run: Path, photos: Path, found: Path) -> Path:
    """The boxes of a trained run: those that it found before in the same photographs, else found anew.

    Boxes that another version or device would round otherwise stay, as decisions are about them.
    """
    from boxless.data.folder import read_data
    from boxless.inference.factory import trained
    from boxless.inference.partial_results import OtherSearchError
    from boxless.inference.predict_folder import predict_folder

    data, predictor = read_data(photos, "all"), trained(run)
    with console.counting("predicting", len(data)) as progress:
        try:
            predict_folder(predictor, data, found, progress, format="csv", resume=True)
        except OtherSearchError as other:
            if (found / "boxes.csv").is_file() and other.differs <= ROUNDING:
                return found
            console.note(f"The boxes in {found} are of another run or of other photographs. They are found anew.")
            predict_folder(predictor, data, found, progress, format="csv", overwrite=True)
    return found
