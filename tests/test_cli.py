import csv
import json
import os
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import boxless
from boxless import __version__
from boxless.cli import app
from boxless.data.synthetic import make_scenes

SMALL = ["--size", "96", "--batch-size", "8"]


def run(capfd, *arguments):
    """Exit code, stdout and stderr of a command, in this process: a new one would import torch again."""
    with pytest.raises(SystemExit) as ended:
        app.meta([str(argument) for argument in arguments])
    code = ended.value.code
    out, err = capfd.readouterr()
    return code or 0, out, err


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "data"
    make_scenes(folder, 24, kinds=("beetle", "star"), size=64, test=0.5, seed=1)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder as people have them: every oddity once, among pictures that are fine."""
    folder = tmp_path_factory.mktemp("photos") / "my photos"
    folder.mkdir()
    make_scenes(folder.parent / "made", 6, size=64, test=0)
    made = sorted((folder.parent / "made").rglob("*.jpg"))
    for index, path in enumerate(made):
        (folder / f"fine {index}.jpg").write_bytes(path.read_bytes())
    picture = cv2.cvtColor(cv2.imread(str(made[0])), cv2.COLOR_BGR2RGB)
    Image.fromarray(picture).convert("L").save(folder / "grey.png")
    Image.fromarray(picture).convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(picture).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(picture[:, :, 0].astype(np.uint16) * 257).save(folder / "sixteen.png")
    Image.fromarray(picture[:1, :1]).save(folder / "one pixel.png")
    Image.fromarray(np.tile(picture[:8], (1, 313, 1))[:, :20000]).save(folder / "wide.png")
    turned = Image.fromarray(picture[:32])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    Image.fromarray(picture).save(folder / "größe 大小 'quoted'.jpg")
    (folder / "truncated.jpg").write_bytes(made[1].read_bytes()[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_bytes(b"this is no picture")
    (folder / "notes.txt").write_text("not an image at all")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    return folder


BROKEN = {"truncated.jpg", "empty.jpg", "text.png"}


def test_find_goes_through_every_oddity_and_names_what_it_cannot_read(photos, tmp_path, capfd):
    code, out, err = run(capfd, "find", photos, "--out", tmp_path / "out", "--report", "--json", *SMALL)
    assert code == 0, err
    summary = json.loads(out)
    assert set(summary["broken"]) == BROKEN and all(name in err for name in BROKEN)
    assert summary["images"] == 17 and summary["boxes"] + len(summary["nothing_found"]) == 14
    content = json.loads((tmp_path / "out" / "boxes.json").read_text())
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in content["images"]}
    assert sizes["turned.jpg"] == (32, 64)  # as people see it
    assert sizes["wide.png"] == (20000, 8) and sizes["one pixel.png"] == (1, 1)
    assert "größe 大小 'quoted'.jpg" in sizes
    widths = {image["id"]: image for image in content["images"]}
    for box in content["annotations"]:
        x, y, w, h = box["bbox"]
        image = widths[box["image_id"]]
        assert x >= 0 and y >= 0 and x + w <= image["width"] and y + h <= image["height"] and w > 0 and h > 0


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "csv"])
def test_every_format(scenes, tmp_path, capfd, format):
    code, out, _ = run(capfd, "find", scenes / "test", "--out", tmp_path / "out", "--format", format, *SMALL)
    assert code == 0 and "12 of 12 images" in out
    assert (tmp_path / "out" / "summary.json").is_file() and (tmp_path / "out" / "README.txt").is_file()


def test_unreadable_files_are_skipped(tmp_path, capfd):
    make_scenes(tmp_path / "made", 3, size=48, test=0)
    (tmp_path / "made" / "train" / "beetle" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    code, out, _ = run(capfd, "find", tmp_path / "made" / "train", "--out", tmp_path / "out", "--json", *SMALL)
    assert code == 0 and json.loads(out)["images"] == 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "There is no folder or zip"),
        (lambda folder: folder.mkdir(), "There are no images"),
        (lambda folder: folder.write_text("x"), "not a zip"),
        (lambda folder: (folder.mkdir(), (folder / "a.jpg").write_bytes(b"x")), "could be read"),
    ],
)
def test_bad_photos_are_one_sentence_and_exit_1(tmp_path, capfd, make, sentence):
    make(tmp_path / "photos")
    code, out, err = run(capfd, "find", tmp_path / "photos", "--out", tmp_path / "out")
    assert code in (1, 2) and sentence in err.replace("\n", " ") and "Traceback" not in err
    assert out == ""


def test_an_output_folder_in_use_is_refused_before_any_work(scenes, tmp_path, capfd):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep me")
    started = time.monotonic()
    code, _, err = run(capfd, "find", scenes / "test", "--out", tmp_path / "out")
    assert code == 2 and "not empty" in err and time.monotonic() - started < 5
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep me"


def test_a_method_that_needs_labels_says_so(tmp_path, capfd):
    make_scenes(tmp_path / "made", 4, size=48, test=0)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (tmp_path / "made").rglob("*.jpg"):
        (flat / path.name).write_bytes(path.read_bytes())
    code, _, err = run(capfd, "train", "cam", flat, "--out", tmp_path / "run")
    assert code in (1, 2) and "label" in err and not (tmp_path / "run" / "last.pt").exists()


def test_train_predict_evaluate_resume(scenes, tmp_path, capfd):
    quick = ["--backbone", "tiny", "--weights", "none", "--size", "32", "--resize", "36", "--batch-size", "6"]
    code, out, err = run(capfd, "train", "cam", scenes, "--out", tmp_path / "run", "--epochs", "2", *quick)
    assert code == 0, err
    assert {"settings.toml", "last.pt", "best.pt", "metrics.csv"} <= {p.name for p in (tmp_path / "run").iterdir()}
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    code, _, err = run(capfd, "train", "cam", scenes, "--out", tmp_path / "run", "--epochs", "2", *quick)
    assert code == 2 and "--resume" in err
    code, out, err = run(capfd, "predict", tmp_path / "run", scenes / "test", "--out", tmp_path / "out", "--json")
    assert code == 0 and json.loads(out)["images"] == 12
    kept = ("--out", tmp_path / "eval", "--maps", tmp_path / "m.npz")
    code, out, err = run(capfd, "evaluate", tmp_path / "run", scenes, "--json", "--multiple", *kept)
    assert code == 0, err
    measured = json.loads(out)["measurement"]
    model = boxless.load(tmp_path / "run" / "best.pt")
    heat = model.heatmap(torch.rand(2, 3, 32, 32))
    boxes, _ = boxless.find_boxes(heat[0].numpy(), (64, 48), model.readout.threshold)
    assert len(heat) == 2 and (boxes[:, 2] <= 64).all()
    assert {"whole image", "centred box", "untrained network", "shuffled maps"} <= set(measured["controls"])
    objects = measured["detections"]
    metrics = {"AP.5", "AP.5:.95", "AR1", "AR10", "AR100"}
    assert objects["images"] == 12 and set(objects["rows"][0]["metrics"]) == metrics
    assert "one box" in objects["controls"]
    assert measured["images"] == 12 and (tmp_path / "eval" / "report.html").is_file()
    code, out, err = run(capfd, "score", tmp_path / "m.npz", scenes / "boxes_test.csv", "--json")
    assert code == 0 and json.loads(out)["protocols"]["boxless"]["detections"]["images"] == 12
    for row in measured["rows"]:
        assert row["origin"] and len(row["interval"]) == 2 and set(row["accuracy"]) == {"0.3", "0.5", "0.7"}
    assert any("oracle" in row["origin"] for row in measured["rows"][1:])


def test_the_report_of_a_measurement_says_what_was_chosen(scenes, tmp_path, capfd):
    kept = ("--out", tmp_path / "eval", "--one-category", "--fit", "none")
    code, out, err = run(capfd, "evaluate", "auto", scenes, "--json", "--closer", *kept)
    assert code == 0, err
    (notes,) = json.loads(out)["notes"].values()
    page = unescape((tmp_path / "eval" / "report.html").read_text())
    assert f"object: {notes['choice']}." in page and f"object: {notes['closer']}." in page
    assert notes["chosen"] and page.count("agreement") > notes["choice"].count("agreement")  # the chart of its signs
    code, out, err = run(capfd, "evaluate", "several", scenes, "--json", "--tiles", "auto", *kept[2:])
    assert code == 0, err


def test_a_gan_is_trained_and_used(scenes, tmp_path, capfd):
    small = ["--iterations", "2", "--width", "0.0625", "--size", "16", "--batch-size", "4"]
    code, _, err = run(capfd, "train", "sn-dcgan", scenes, "--out", tmp_path / "gan", *small)
    assert code == 0, err
    code, out, err = run(capfd, "evaluate", tmp_path / "gan", scenes, "--json", "--one-category")
    assert code == 0, err
    assert "untrained network" in json.loads(out)["measurement"]["controls"]
    code, _, err = run(capfd, "predict", tmp_path / "gan", scenes / "test", "--out", tmp_path / "out")
    assert code == 0, err


def test_score_takes_anybody_s_maps(scenes, tmp_path, capfd):
    with (scenes / "boxes_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        heat = np.zeros((int(row["height"]), int(row["width"])), np.float32)
        x0, y0, x1, y1 = (int(float(row[key])) for key in ("x0", "y0", "x1", "y1"))
        heat[y0:y1, x0:x1] = 1
        path = (tmp_path / "maps" / row["image"]).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, heat)
    truth = scenes / "boxes_test.csv"
    code, out, err = run(capfd, "score", tmp_path / "maps", truth, "--protocol", "boxless", "--json")
    assert code == 0, err
    assert json.loads(out)["protocols"]["boxless"]["rows"][0]["accuracy"]["0.7"] == 100
    code, _, err = run(capfd, "score", tmp_path / "maps", truth, "--protocol", "nobody")
    assert code == 2 and "wsoleval-v1" in err


def test_find_takes_every_method_without_labels():
    from boxless.cli.find import MethodName
    from boxless.discovery import DISCOVERERS

    assert list(get_args(MethodName)) == list(DISCOVERERS)


def test_methods_lists_every_method(capfd):
    from boxless.discovery import DISCOVERERS
    from boxless.gan import GANS
    from boxless.methods import METHODS

    code, out, _ = run(capfd, "methods")
    assert code == 0 and all(name in out for name in (*METHODS, *GANS, *DISCOVERERS))


def test_wrong_usage_is_exit_2_with_a_hint(scenes, capfd):
    for arguments in (["find", str(scenes), "--reprot"], ["find"], ["evaluate", "nobody", str(scenes)], ["fnd"]):
        code, out, err = run(capfd, *arguments)
        assert code == 2 or (code == 1 and "fnd" in arguments), (arguments, code, err)
        assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["find"], "boxless find needs PHOTOS. `boxless find --help` says"),
        (["review", "found"], "boxless review needs PHOTOS."),
        (["train", "cam"], "boxless train cam needs DATA."),
        (["calibrate", "photos"], "boxless calibrate needs --boxes."),
        (["find", "photos", "--size"], "--size requires an argument"),
    ],
)
def test_an_argument_that_is_missing_is_called_as_usage_has_it(capfd, words, said):
    code, out, err = run(capfd, *words, "--json")
    assert code == 2 and said in json.loads(out)["error"] and said.split()[-1] in err


def test_debug_shows_the_traceback(tmp_path):
    from boxless.runtime.errors import BoxlessError

    with pytest.raises(BoxlessError):
        app.meta(["--debug", "find", str(tmp_path / "nowhere")])


def test_the_demo_leaves_results_and_a_report(tmp_path, capfd):
    small = ["--scenes", "10", "--gan-iterations", "2", "--epochs", "1"]
    code, out, err = run(capfd, "demo", "--out", tmp_path / "demo", *small)
    assert code == 0, err
    content = json.loads((tmp_path / "demo" / "results.json").read_text())
    for method in ("DDT", "CAM", "SN-DCGAN"):
        assert method in out and method in content["methods"]
        controls = content["methods"][method]["measurement"]["controls"]
        assert {"whole image", "centred box", "untrained network", "shuffled maps"} <= set(controls)
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
    code, _, err = run(capfd, "demo", "--out", tmp_path / "demo", *small)
    assert code == 2 and "not empty" in err


def test_help_needs_no_torch_and_little_time():
    script = (
        "import sys, time; began = time.perf_counter()\n"
        "from boxless.cli import app\n"
        "for verb in ([], ['find'], ['train'], ['train', 'cam'], ['train', 'sn-dcgan'], ['evaluate']):\n"
        "    try: app.meta([*verb, '--help'])\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'help imported torch'\n"
        "assert 'markdown_it' not in sys.modules, 'help was read as Markdown'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "--epochs" in done.stdout and "--iterations" in done.stdout and "[default: lite0]" in done.stdout


def test_help_is_wrapped_to_the_terminal_and_not_where_the_source_is():
    command = [sys.executable, "-m", "boxless", "find", "--help"]  # its width is measured once in a process
    wide = {**os.environ, "COLUMNS": "2000"}
    out = subprocess.run(command, env=wide, capture_output=True, text=True, check=True).stdout
    option = next(line for line in out.splitlines() if "--method" in line)
    assert "auto, the default" in option and "the time of auto. [choices: auto" in option


@pytest.mark.parametrize(
    "verb",
    [("find", "nowhere"), ("predict", "nowhere", "."), ("evaluate", "ddt", "nowhere"), ("train", "cam", "nowhere")],
)
def test_a_wrong_path_is_named_before_anything_heavy_is_imported(verb, tmp_path):
    script = (
        "import sys\n"
        "from boxless.cli import app\n"
        f"code = app.meta({[*verb, '--out', 'out']!r})\n"
        "loaded = {'torch', 'lightning_fabric', 'numba', 'torchmetrics', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode in (1, 2) and "nowhere" in done.stderr and "imported" not in done.stderr, done.stderr


@pytest.mark.parametrize("words", [("find", "--method", "ddt"), ("predict", "cam/last.pt")])
def test_a_search_in_one_process_needs_no_fabric_and_no_compiler(words, scenes, tmp_path):
    verb, *rest = (str(Path(__file__).parent / "checkpoints" / word) if "/" in word else word for word in words)
    script = (
        "import sys\n"
        "from boxless.cli import app\n"
        f"app.meta({[verb, *rest, str(scenes), '--out', 'found', '--engine', 'torch']!r})\n"
        "sys.exit(str({'lightning_fabric', 'torch._dynamo', 'torchvision'} & set(sys.modules) or ''))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert not done.stderr, done.stderr


def test_the_console_script_and_the_version():
    done = subprocess.run([sys.executable, "-m", "boxless", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == __version__


def test_interrupted_is_130(monkeypatch, capfd, scenes):
    import boxless.data.folder

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(boxless.data.folder, "read_data", stop)
    code, _, err = run(capfd, "find", scenes, "--out", Path("nowhere-to-be-made"))
    assert code == 130 and "interrupted" in err and not Path("nowhere-to-be-made").exists()
