"""The whole road on made photographs, offline: scenes, a GAN without labels, a training-free localizer, a classifier.

The scenes' boxes are known exactly and lie anywhere, so that a constant box scores badly and a score means something.
Boxes of the training scenes choose each method's threshold and the centred box; the test scenes are only scored.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxless.data.dataset import Dataset, data_hash
from boxless.data.folder import read_data
from boxless.data.synthetic import make_scenes
from boxless.evaluation.evaluate import HeatmapSet, evaluate
from boxless.evaluation.measurement import Measurement
from boxless.evaluation.results import cards, charts, measurement_table
from boxless.gan.data import read_images
from boxless.gan.settings import GanTraining
from boxless.gan.training import train_gan
from boxless.inference.factory import discoverer, trained, untrained
from boxless.inference.predictors import Predictor
from boxless.methods.settings import Training
from boxless.methods.training import train_classifier
from boxless.report.html import write_report
from boxless.runtime.files import write_json
from boxless.runtime.progress import ProgressFactory
from boxless.runtime.provenance import provenance

KINDS = ("beetle", "star", "leaf", "lamp")

TEST = 0.4
"""Share of the scenes that is scored; the intervals are as wide as this is small."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One method of the demo, measured."""

    name: str
    words: str
    measured: Measurement
    maps: HeatmapSet
    test: Dataset
    predictor: Predictor
    seconds: float


def run_demo(
    out: Path, bars: ProgressFactory, *, scenes: int, gan_iterations: int, epochs: int, seed: int
) -> list[Scored]:
    """Make the scenes, train, localize, measure; leaves runs, results.json and report.html in the folder `out`."""
    with bars("drawing scenes") as progress:
        make_scenes(out / "one-kind", scenes, kinds=KINDS[:1], test=TEST, seed=seed)
        progress(1, 2, {})
        make_scenes(out / "four-kinds", 2 * scenes, kinds=KINDS, test=TEST, seed=seed + 1)
        progress(2, 2, {})
    scored = [
        _training_free(out, bars, seed),
        _classifier(out, bars, epochs, seed),
        _gan(out, bars, gan_iterations, seed),
    ]
    write_json(out / "results.json", _content(scored, seed))
    write_report(
        out / "report.html",
        title="boxless demo: objects found in made photographs",
        summary=[f"{one.name}: {one.words} {one.seconds:.0f} s." for one in scored]
        + ["Controls are what no method scores on the same pictures; what does not beat them has found nothing."],
        tables=[measurement_table(one.measured, one.name) for one in scored],
        charts=charts(scored[0].measured),
        cards=cards(scored[0].measured, scored[0].maps, scored[0].test, scored[0].predictor),
        images=len(scored[0].test),
    )
    return scored


def _training_free(out: Path, bars: ProgressFactory, seed: int) -> Scored:
    words = "one kind of object, no labels, no training; ImageNet features, first principal component."
    # Larger than its default, because these objects are small in their pictures.
    predictor = discoverer("ddt", size=384)
    return _measured("DDT", words, predictor, out / "one-kind", bars, seed, time.monotonic())


def _classifier(out: Path, bars: ProgressFactory, epochs: int, seed: int) -> Scored:
    started = time.monotonic()
    train = read_data(out / "four-kinds", "train")
    # Enlarged, for the same reason.
    settings = Training(epochs=epochs, size=256, resize=288, freeze="all", lr=3e-3, seed=seed)
    with bars("training CAM") as progress:
        train_classifier("cam", {}, train, None, settings, out / "cam", progress=progress)
    words = f"four kinds of object, labels but no boxes; a linear layer on ImageNet features, {epochs} epochs."
    return _measured("CAM", words, trained(out / "cam"), out / "four-kinds", bars, seed, started)


def _gan(out: Path, bars: ProgressFactory, iterations: int, seed: int) -> Scored:
    started = time.monotonic()
    settings = GanTraining(iterations=iterations, width=0.25, batch_size=64, seed=seed)
    images = read_images(read_data(out / "one-kind", "train"), settings.size)
    with bars("training SN-DCGAN") as progress:
        train_gan("sn-dcgan", images, settings, out / "sn-dcgan", progress=progress)
    words = (
        f"one kind of object, no labels, no outside weights; quarter width, {iterations} iterations "
        "(the paper: full width, 250,000)."
    )
    return _measured("SN-DCGAN", words, trained(out / "sn-dcgan"), out / "one-kind", bars, seed, started)


def _measured(
    name: str, words: str, predictor: Predictor, data: Path, bars: ProgressFactory, seed: int, started: float
) -> Scored:
    test, train = read_data(data, "test"), read_data(data, "train")
    control = untrained(predictor, train, seed=seed)
    with bars(f"measuring {name}") as progress:
        progress.expect(2 * len(test) + len(train))
        measured, maps = evaluate(
            predictor, test, progress, fit=train, untrained=control, headline="transferred", seed=seed
        )
    return Scored(name, words, measured, maps, test, predictor, time.monotonic() - started)


def _content(scored: list[Scored], seed: int) -> dict[str, Any]:
    return {
        **provenance(),
        "seed": seed,
        "methods": {
            one.name: {
                "what": one.words,
                "seconds": round(one.seconds, 1),
                "data_hash": data_hash(one.test),
                "readout": one.predictor.readout.to_dict(),
                "measurement": one.measured.to_dict(),
            }
            for one in scored
        },
    }
