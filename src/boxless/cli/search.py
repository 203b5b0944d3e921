"""What `boxless find` and `boxless predict` have in common: photos -> predictor -> boxes, in one process or several."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from boxless.cli import console
from boxless.cli.flags import Search
from boxless.runtime.progress import Progress

if TYPE_CHECKING:
    from boxless.inference.tiles import Whole


def search(title: str, photos: Path, out: Path, flags: Search, build: Callable[..., "Whole"]) -> int:
    """Search with the predictor that `build` makes for a device and these images; print what was found, once a team."""
    from boxless.data.folder import read_data
    from boxless.data.splits import restricted
    from boxless.export import check_folder

    flags.check_tiles()
    if not flags.resume:
        check_folder(out, flags.format, overwrite=flags.overwrite)
    data = restricted(read_data(photos, "all"), flags.classes, one_category=flags.one_category)
    from boxless.inference.predict_folder import predict_folder  # torch, once the arguments are known to be good
    from boxless.inference.tiles import in_tiles
    from boxless.runtime.devices import team_on

    place, team = team_on(flags.device, flags.devices, flags.nodes)
    predictor = in_tiles(build(device=str(place), images=data), flags.tiles, data)
    if not team.first:
        predict_folder(predictor, data, out, Progress(), team=team, **flags.writing())
        return 0
    shown = title if team.world == 1 else f"{title}, process 1 of {team.world}"
    with console.counting(shown, len(data)) as progress:
        summary = predict_folder(predictor, data, out, progress, team=team, **flags.writing())
    if flags.json:
        console.result(summary.to_dict() | {"out": str(out)})
        return 0
    for sentence in summary.words():
        console.line(sentence)
    console.line(f"Written to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0
