"""Everything that only a GPU can tell about boxless, in one command of at most nine minutes.

    python benchmarks/device/run.py --out OUT --tiny28 tiny28.zip --tiny200 tiny200_a.zip tiny200_b.zip
    python benchmarks/device/run.py --out OUT --dry-run

The steps come in the order of what they tell. Each has its own time limit, its output in OUT/logs.txt and its result
in OUT/results.tar.gz as soon as it is there; a step that fails or runs out of time stops none of the others.
OUT/steps.json says what ran. The dry run does the same on a processor, with made scenes.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from boxless.runtime.files import write_json
from boxless.runtime.provenance import provenance

BENCHMARKS = Path(__file__).parents[1]
TOTAL = 9 * 60.0
"""Seconds for everything."""
GROUPS, GANS, SEEDS = ("bird", "artiodactyla", "vehicle"), ("sn-dcgan", "dcgan"), (0, 1)
MOST = 30_000
"""Iterations of a GAN at most."""
BOXLESS = (sys.executable, "-m", "boxless")


@dataclass(frozen=True, slots=True)
class Step:
    """Commands that run side by side, and the seconds they may take together."""

    name: str
    limit: float
    commands: Sequence[Sequence[str]]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What became of a step."""

    name: str
    seconds: float
    limit: float
    exits: list[int | None]
    """Exit code of every command; None for one that was stopped at the limit."""

    @property
    def verdict(self) -> str:
        """In a word, for the table."""
        if all(code == 0 for code in self.exits):
            return "done"
        return "out of time" if None in self.exits else "failed"


def main() -> int:
    asked = parse()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # A processor that is busy with other things may take long over little.
        patience = 10.0 if asked.dry_run else 1.0
        outcomes = list(run(steps(asked, work), work, asked.out, asked.only, patience))
    print(table(outcomes))
    return int(any(outcome.verdict == "failed" for outcome in outcomes))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny28", type=Path, help="Tiny ImageNet's six groups of the GAN paper")
    parser.add_argument("--tiny200", type=Path, nargs="+", help="the 200 classes of Tiny ImageNet, in parts")
    parser.add_argument("--dry-run", action="store_true", help="everything in small, on a processor, with made scenes")
    parser.add_argument("--only", nargs="+", default=(), help="names of the steps to run; default: all")
    asked = parser.parse_args()
    if not asked.dry_run and not (asked.tiny28 and asked.tiny200):
        parser.error("--tiny28 and --tiny200 are needed, or --dry-run.")
    return asked


def steps(asked: argparse.Namespace, work: Path) -> Iterator[Step]:
    """What is to be run, in order; later steps may read what earlier ones wrote into `work`."""
    small = asked.dry_run
    device = "cpu" if small else "cuda"
    if small:
        asked.tiny28 = made_scenes(work)
        asked.tiny200 = [asked.tiny28]
    tests = (sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--junitxml", str(work / "results" / "tests.xml"))
    kind = {"BOXLESS_GPU": "cpu"} if small else {}
    yield Step("tests", 75, [(*tests, str(BENCHMARKS.parent / "tests" / "test_gpu.py"))], kind)
    yield Step("gan-step", 30, [gan_step(gan, work, device, small=small) for gan in GANS[: 1 if small else None]])
    trials = list(gan_trials(small=small))
    iterations = 2 if small else iterations_that_fit(work, 150, len(trials))
    yield Step("gan-table-3", 200, [gan_table(trial, asked, work, iterations, device) for trial in trials])
    yield Step("gan-readings", 90, [gan_readings(trial, asked, work, device) for trial in trials])
    yield Step("i2c-table-4", 160, [i2c_table(seed, asked, work, device) for seed in ((0,) if small else (0, 1, 2))])
    yield Step("find", 40, [benchmark("find", work, "--count", "4" if small else "200", "--repeats", "1")])
    shape = ("--size", "64", "--photographs", "8") if small else ("--batch-size", "80")
    networks = ("--backbones", "resnet50") if small else ()
    yield Step("i2c-step", 40, [benchmark("i2c_step", work, "--steps", "1" if small else "20", *networks, *shape)])


def made_scenes(work: Path) -> Path:
    """A small data set of two kinds, named as groups are."""
    from boxless.data.synthetic import make_scenes

    make_scenes(work / "scenes", 16, kinds=("beetle", "star"), size=48, test=0.5, seed=0)
    return work / "scenes"


def benchmark(name: str, work: Path, *arguments: str) -> list[str]:
    """One of the scripts beside this folder, its result among the results."""
    written = work / "results" / f"{name}.json"
    return [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments, "--out", str(written)]


def gan_step(gan: str, work: Path, device: str, *, small: bool) -> list[str]:
    """Iterations per second against the usual loop."""
    shape = ("--width", "0.0625", "--iterations", "1") if small else ("--iterations", "50")
    command = benchmark("gan_step", work, "--gan", gan, "--device", device, *shape)
    return [*command[:-1], str(work / "results" / f"gan_step-{gan}.json")]


def gan_trials(*, small: bool) -> Iterator[tuple[str, str, int]]:
    """GAN, group and seed of every trial, those first that tell most."""
    if small:
        yield GANS[0], "star", 0
        return
    yield from ((gan, group, seed) for seed in SEEDS for gan in GANS for group in GROUPS)


def iterations_that_fit(work: Path, seconds: float, trials: int) -> int:
    """Whole thousands of iterations that each of `trials` processes on one device makes in `seconds`, by gan-step.

    The slower GAN's rate is shared by all: side by side they are faster, which is left for measuring the stages.
    """
    rates = []
    for path in (work / "results").glob("gan_step-*.json"):
        rates.append(json.loads(path.read_text(encoding="utf-8"))["boxless"]["iterations_per_second"])
    fitting = int(min(rates, default=100.0) * seconds / trials)
    return min(MOST, max(1000, fitting // 1000 * 1000))


def folder_of(trial: tuple[str, str, int], work: Path) -> Path:
    """Where a trial's runs and results lie."""
    gan, group, seed = trial
    return work / "gan" / f"{gan}-{group}-{seed}"


def gan_table(
    trial: tuple[str, str, int], asked: argparse.Namespace, work: Path, iterations: int, device: str
) -> list[str]:
    """A trial of gan-table-3 at full width, as the GAN's own authors trained it; its augmented one in what is left."""
    gan, group, seed = trial
    command = [*BOXLESS, "reproduce", "gan-table-3", "--data", str(asked.tiny28), "--gans", gan, "--groups", group]
    shape = ["--width", "0.0625", "--size", "16", "--batch-size", "4"] if asked.dry_run else []
    length = ["--preset", "reference", "--iterations", str(iterations), "--seeds", str(seed), "--minutes", "3"]
    return [*command, *length, *shape, "--device", device, "--out", str(folder_of(trial, work)), "--quiet"]


def gan_readings(trial: tuple[str, str, int], asked: argparse.Namespace, work: Path, device: str) -> list[str]:
    """Every reading of that trial's D, beside untrained ones and shuffled maps."""
    command = [*BOXLESS, "reproduce", "gan-readings", "--data", str(asked.tiny28), "--device", device]
    return [*command, "--out", str(folder_of(trial, work)), "--quiet"]


def i2c_table(seed: int, asked: argparse.Namespace, work: Path, device: str) -> list[str]:
    """Plain, SC and SC + GC of one seed, with nothing frozen and batches of pairs as the paper has them."""
    shape = ("--size", "32", "--batch-size", "4", "--epochs", "1")
    if not asked.dry_run:
        shape = ("--size", "128", "--batch-size", "80", "--epochs", "6")
    data = [str(path) for path in asked.tiny200]
    command = [*BOXLESS, "reproduce", "i2c-table-4", "--data", *data, "--seeds", str(seed), *shape, "--freeze", ""]
    return [*command, "--device", device, "--out", str(work / "i2c" / str(seed)), "--quiet"]


def run(
    planned: Iterator[Step], work: Path, out: Path, only: Sequence[str], patience: float = 1.0
) -> Iterator[Outcome]:
    """Run step after step -> what became of each, with everything saved after each; `patience` times their limits."""
    (work / "results").mkdir()
    began, outcomes = time.monotonic(), list[Outcome]()
    for step in planned:
        if only and step.name not in only:
            continue
        limit = min(step.limit * patience, TOTAL - (time.monotonic() - began))
        outcome = Outcome(step.name, 0.0, limit, [None] * len(step.commands))
        if limit > 1:
            start = time.monotonic()
            outcome.exits = side_by_side(step, limit, out / "logs.txt")
            outcome.seconds = time.monotonic() - start
        outcomes.append(outcome)
        write_json(
            out / "steps.json", {**provenance(), "steps": [asdict(o) | {"verdict": o.verdict} for o in outcomes]}
        )
        pack(work, out / "results.tar.gz")
        yield outcome


def side_by_side(step: Step, limit: float, log: Path) -> list[int | None]:
    """Start all commands of a step, and stop what still runs at the limit -> their exit codes."""
    end = time.monotonic() + limit
    with log.open("a", encoding="utf-8") as said:
        said.write(f"\n== {step.name}\n")
        said.flush()
        # Processes that share a machine share its cores; more threads than cores only wait for each other.
        threads = max(1, (os.cpu_count() or 1) // len(step.commands))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **step.environment}
        running = [
            subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
            for command in step.commands
        ]
        exits: list[int | None] = []
        for process in running:
            try:
                exits.append(process.wait(max(0.1, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                exits.append(None)
    return exits


def pack(work: Path, target: Path) -> None:
    """All results so far, without runs and heat maps, as one file that is whole at any time."""
    partial = target.with_suffix(".partial")
    with tarfile.open(partial, "w:gz") as archive:
        for folder in ("results", "gan", "i2c"):
            for path in sorted((work / folder).rglob("*")):
                if path.suffix in (".json", ".xml", ".md", ".csv"):
                    archive.add(path, path.relative_to(work))
    partial.replace(target)


def table(outcomes: Sequence[Outcome]) -> str:
    """The steps, one a line."""
    lines = [f"{'step':<14}{'verdict':<13}{'seconds':>8}{'limit':>7}  exit codes"]
    for outcome in outcomes:
        exits = " ".join("stopped" if code is None else str(code) for code in outcome.exits)
        lines.append(f"{outcome.name:<14}{outcome.verdict:<13}{outcome.seconds:8.1f}{outcome.limit:7.0f}  {exits}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
