"""`boxless predict`: a trained run over a folder -> boxes, in the same shape as `boxless find` leaves them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxless.cli.flags import Search

if TYPE_CHECKING:
    from boxless.inference.predictors import TrainedPredictor


def predict(run: Path, photos: Path, *, out: Path = Path("predicted"), flags: Search = Search()) -> int:
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
    flags
        What commands that search have in common.

    """
    from boxless.cli.search import search
    from boxless.runtime.checkpoint import find_checkpoint

    find_checkpoint(run)

    def build(**where: Any) -> "TrainedPredictor":
        from boxless.inference.factory import trained

        return trained(run, **flags.options(**where))

    return search("predicting", photos, out, flags, build)
