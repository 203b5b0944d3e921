"""`boxless demo`: everything, on photographs that boxless makes itself."""

from pathlib import Path

from boxless.cli import console
from boxless.cli.flags import Switch


def demo(
    *,
    out: Path = Path("runs/demo"),
    scenes: int = 400,
    gan_iterations: int = 200,
    epochs: int = 4,
    seed: int = 0,
    json: Switch = False,
) -> int:
    """Make photographs with known boxes, find the objects in three ways, and measure each beside its controls.

    Offline; a few minutes on two cores. Leaves results.json and report.html.

    Parameters
    ----------
    out
        Folder for the scenes, the runs, results.json and report.html; must be empty or missing.
    scenes
        Photographs of one kind of object; twice as many are made of four kinds.
    gan_iterations
        Generator updates of SN-DCGAN.
    epochs
        Passes of CAM over its training images.
    seed
        Of the scenes, the weights and the intervals.
    json
        Print the results as JSON.

    """
    from boxless.cli.measurement_tables import print_measurement
    from boxless.reproduce.demo import run_demo
    from boxless.runtime.errors import UsageError

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Choose another --out, or remove it to run the demo again.")
    scored = run_demo(out, console.counting, scenes=scenes, gan_iterations=gan_iterations, epochs=epochs, seed=seed)
    if json:
        console.line((out / "results.json").read_text())
        return 0
    for one in scored:
        console.line(f"\n{one.name}: {one.words}")
        print_measurement(one.measured, console.out)
    console.line(f"\nLook at {out / 'report.html'}; the numbers are in {out / 'results.json'}.")
    return 0
