import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from squares import make_squares, quick

from boxless.boxes.from_heatmap import Detections, Readout
from boxless.data.dataset import Dataset, Sample
from boxless.data.folder import read_data
from boxless.data.sources import FolderSource
from boxless.inference.factory import trained
from boxless.inference.partial_results import CLOSES, FOLDER, Shards
from boxless.inference.predict_folder import predict_folder
from boxless.inference.predictors import ImageHeatmap
from boxless.methods.training import train_classifier
from boxless.runtime.devices import team_on
from boxless.runtime.distributed import Team, world_layout
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import Progress

fork = multiprocessing.get_context("fork")


class Predictor:
    """Draws a map from each image's name, and notes every image it looks at in a file."""

    name = "drawn"
    readout = Readout(0.5, "fixed for the test")
    category = "thing"
    piece_by_piece = False

    def __init__(self, log: Path, pause: float = 0.0, gone: Callable[[Sample], None] = lambda sample: None) -> None:
        self.log, self.pause, self.gone = log, pause, gone
        self.classes = ["thing"]

    def identity(self) -> dict[str, Any]:
        return {"method": self.name, "batch size": 4}

    def pieces(self, dataset: Dataset) -> list[list[Sample]]:
        return [dataset.samples[start : start + 4] for start in range(0, len(dataset), 4)]

    def maps(self, dataset: Dataset, progress: Progress, *, labels: bool = False) -> Iterator[ImageHeatmap]:
        for sample in dataset.samples:
            with self.log.open("a") as file:
                file.write(sample.name + "\n")
            self.gone(sample)
            time.sleep(self.pause)
            progress.advance(1)
            if "broken" in sample.name:
                progress.broken[sample.name] = f"{sample.name} is broken."
                continue
            rng = np.random.default_rng(list(sample.name.encode()))
            yield ImageHeatmap(sample, (32, 32), rng.random((8, 8), np.float32) ** 4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("pictures")
    names = [f"{'broken' if index in (3, 20, 21, 22, 23) else 'a'} {index:02d}.png" for index in range(50)]
    for name in names:
        Image.new("RGB", (32, 32), (len(name), 99, 9)).save(root / name)
    return Dataset(FolderSource(root), [Sample(name) for name in names])


def find(predictor: Predictor, pictures: Dataset, out: Path, **options: Any) -> Any:
    return predict_folder(predictor, pictures, out, Progress(), **({"format": "coco", "report": True} | options))


def files(out: Path) -> dict[str, Any]:
    """Everything in the folder, but for what tells of time and of who did it."""
    summary = json.loads((out / "summary.json").read_text())
    summary = {name: value for name, value in summary.items() if name not in ("seconds", "taken_over")}
    page = (out / "report.html").read_text().splitlines()
    cards = [line for line in page if '"name":' in line]
    assert len(cards) == 45
    return {"boxes": (out / "boxes.json").read_bytes(), "summary": summary, "cards": cards}


@pytest.fixture(scope="module")
def whole(pictures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole")
    summary = find(Predictor(out.parent / "log"), pictures, out / "out")
    assert summary.images == 50 and len(summary.broken) == 5 and summary.taken_over == 0
    wanted = {"README.txt", "boxes.json", "summary.json", "report.html"}
    assert {path.name for path in (out / "out").iterdir()} == wanted
    return files(out / "out")


def closed(out: Path) -> set[int]:
    """The pieces that are done, as anybody can read them."""
    lines = [line for path in (out / FOLDER).glob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return {json.loads(line)["piece"] for line in lines if line.startswith(CLOSES) and line.endswith(b"\n")}


def test_five_kills_at_random_moments_lose_nothing_and_do_nothing_twice(
    pictures: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    out, seed = tmp_path / "out", random.SystemRandom().randrange(10**6)
    moments, done = random.Random(seed), set[int]()
    for turn in range(5):
        log = tmp_path / f"log {turn}"
        process = fork.Process(target=find, args=(Predictor(log, 0.004), pictures, out), kwargs={"resume": True})
        process.start()
        time.sleep(moments.uniform(0.02, 0.12))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        seen = set(log.read_text().splitlines()) if log.exists() else set[str]()
        again = {sample.name for piece in done for sample in pictures.samples[4 * piece : 4 * piece + 4]} & seen
        assert not again, f"seed {seed}: done twice"
        done = closed(out) if (out / FOLDER).exists() else done
    if not (out / "report.html").exists():
        summary = find(Predictor(tmp_path / "log"), pictures, out, resume=True)
        assert summary.taken_over == sum(len(pictures.samples[4 * piece : 4 * piece + 4]) for piece in done)
        names = Counter((tmp_path / "log").read_text().splitlines())
        assert len(names) == 50 - summary.taken_over and set(names.values()) <= {1}
    assert files(out) == whole, f"seed {seed}"
    assert not any(path.name.startswith(".") for path in out.iterdir())


def test_a_kill_in_the_first_look_at_a_piece_leaves_the_one_before(
    pictures: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    """A method that learns from a piece first: no map of it is asked for before the piece ahead of it is on disk."""

    def stop(sample: Sample) -> None:
        if sample.name == "a 28.png":
            raise KeyboardInterrupt

    for turn, piece_by_piece in enumerate((False, True)):
        predictor = Predictor(tmp_path / "log", gone=stop)
        predictor.piece_by_piece = piece_by_piece
        with pytest.raises(KeyboardInterrupt):
            find(predictor, pictures, tmp_path / f"out {turn}")
        assert (6 in closed(tmp_path / f"out {turn}")) == piece_by_piece
        find(Predictor(tmp_path / "log"), pictures, tmp_path / f"out {turn}", resume=True)
        assert files(tmp_path / f"out {turn}") == whole


TORN = [b"", b"{", b'{"piece": 99, "broken": {}}', b'{"name": "a 00.png", "size"', b"\0" * 50]


@pytest.mark.parametrize("torn", TORN)
def test_what_a_kill_tore_is_done_anew(pictures: Dataset, whole: dict[str, Any], tmp_path: Path, torn: bytes) -> None:
    def stop(sample: Sample) -> None:
        if sample.name == "a 30.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(Predictor(tmp_path / "log", gone=stop), pictures, tmp_path / "out")
    assert closed(tmp_path / "out")
    (shard,) = (tmp_path / "out" / FOLDER).glob("*.jsonl")
    with shard.open("ab") as file:
        file.write(torn)
    find(Predictor(tmp_path / "log"), pictures, tmp_path / "out", resume=True)
    assert files(tmp_path / "out") == whole


def test_a_kill_between_the_files_of_the_merge_is_made_good(
    pictures: Dataset, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boxless.export

    def stop(entry: Path, target: Path) -> Path:
        if entry.name != "README.txt":
            raise KeyboardInterrupt
        return entry.replace(target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(boxless.export, "_put", stop)
        find(Predictor(tmp_path / "log"), pictures, tmp_path / "out")
    (tmp_path / "out" / ".boxless-staging-of-a-killed-one").mkdir()
    summary = find(Predictor(tmp_path / "log 2"), pictures, tmp_path / "out", resume=True)
    assert summary.taken_over == 50 and not (tmp_path / "log 2").exists()
    assert files(tmp_path / "out") == whole
    assert not any(path.name.startswith(".") for path in (tmp_path / "out").iterdir())


def test_an_unfinished_search_is_neither_mixed_with_another_nor_lost(pictures: Dataset, tmp_path: Path) -> None:
    def stop(sample: Sample) -> None:
        if sample.name == "a 30.png":
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        find(Predictor(tmp_path / "log", gone=stop), pictures, out)
    predictor = Predictor(tmp_path / "log")
    with pytest.raises(UsageError, match=r"not finished. Go on with --resume"):
        find(predictor, pictures, out)
    with pytest.raises(UsageError, match="has multiple False, not True"):
        find(predictor, pictures, out, resume=True, multiple=True)
    fewer = Dataset(pictures.source, pictures.samples[:-1])
    with pytest.raises(UsageError, match="has other images than there are now"):
        find(predictor, fewer, out, resume=True)
    predictor.readout = Readout(0.4, "fixed for the test")
    with pytest.raises(UsageError, match=r"has threshold 0.5, not 0.4"):
        find(predictor, pictures, out, resume=True)
    assert find(predictor, fewer, out, overwrite=True).taken_over == 0
    with pytest.raises(UsageError, match=r"The finished search in .* has other images "):
        find(predictor, pictures, out, resume=True)


def test_a_finished_search_is_not_done_again(pictures: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = find(Predictor(tmp_path / "log"), pictures, out, resume=True)
    before, progress = {path: path.stat().st_mtime_ns for path in out.iterdir()}, Progress()
    again = predict_folder(
        Predictor(tmp_path / "log 2"), pictures, out, progress, format="coco", report=True, resume=True
    )
    assert not (tmp_path / "log 2").exists() and before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert again.to_dict() == first.to_dict() and progress.broken == first.broken
    assert again.words()[0] == "Finished before; nothing was done again." and again.words()[2:] == first.words()[1:]
    reworded = Predictor(tmp_path / "log 2")
    reworded.readout = replace(reworded.readout, origin="the same number, in the words of a later version")
    assert find(reworded, pictures, out, resume=True).finished_before
    higher = Predictor(tmp_path / "log 2")
    higher.readout = Readout(0.4, "fixed by the user")
    with pytest.raises(UsageError, match=r"has threshold 0.5, not 0.4"):
        find(higher, pictures, out, resume=True)
    with pytest.raises(UsageError, match="wrote the format coco, not csv"):
        find(Predictor(tmp_path / "log 2"), pictures, out, resume=True, format="csv")
    (out / "summary.json").write_text("{}")
    with pytest.raises(BoxlessError, match="is no summary of a search"):
        find(Predictor(tmp_path / "log 2"), pictures, out, resume=True)
    find(Predictor(tmp_path / "log"), pictures, out, resume=True, overwrite=True)


def test_a_search_that_was_stopped_before_it_found_anything_leaves_the_folder_free(
    pictures: Dataset, tmp_path: Path
) -> None:
    def stop(sample: Sample) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            find(Predictor(tmp_path / "log", gone=stop), pictures, tmp_path / "out")


def test_a_full_disk_is_a_sentence_and_what_was_found_stays(pictures: Dataset, tmp_path: Path) -> None:
    import resource

    def full(queue: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            find(Predictor(tmp_path / "log"), pictures, tmp_path / "out")
        except BoxlessError as error:
            queue.put(str(error))

    queue = fork.Queue()
    process = fork.Process(target=full, args=(queue,))
    process.start()
    assert "go on with --resume" in queue.get(timeout=20)
    process.join()
    assert find(Predictor(tmp_path / "log 2"), pictures, tmp_path / "out", resume=True).taken_over > 0


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def started(launcher: str, rank: int, port: str) -> dict[str, str]:
    """The variables that a launcher gives process `rank` of two on this machine."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if launcher == "torchrun":
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "TORCHELASTIC_RUN_ID": "x"}
    else:
        ranks = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NTASKS": 2, "SLURM_NNODES": 1, "SLURM_NODEID": 0}
        ranks |= {"SLURM_JOB_ID": 7, "SLURM_JOB_NAME": "boxless", "SLURM_NTASKS_PER_NODE": 2}
    return common | {name: str(value) for name, value in ranks.items()}


def member(work: Callable[[Team], Any], launcher: str, rank: int, port: str, answers: Any) -> None:
    os.environ.update(started(launcher, rank, port))
    _, team = team_on("cpu")
    try:
        answers.put((rank, work(team)))
    except BoxlessError as error:
        answers.put((rank, (str(error), error.reported_elsewhere)))


def two(work: Callable[[Team], Any], launcher: str = "torchrun") -> dict[int, Any]:
    """What `work` gives in each of two processes of a team."""
    answers, port = fork.Queue(), free_port()
    processes = [fork.Process(target=member, args=(work, launcher, rank, port, answers)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return found


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_two_processes_find_what_one_does(
    pictures: Dataset, whole: dict[str, Any], tmp_path: Path, launcher: str
) -> None:
    def work(team: Team) -> tuple[int, int]:
        predictor = Predictor(tmp_path / f"log {team.rank}")
        summary = find(predictor, pictures, tmp_path / "out", team=team)
        return team.world, summary.boxes

    (one, boxes), (other, same) = two(work, launcher).values()
    assert one == other == 2 and boxes == same > 0
    looked = [(tmp_path / f"log {rank}").read_text().splitlines() for rank in range(2)]
    assert len(looked[0]) == 26 and len(looked[1]) == 24 and not set(looked[0]) & set(looked[1])
    assert files(tmp_path / "out") == whole


def test_one_process_takes_up_what_two_were_killed_at(pictures: Dataset, whole: dict[str, Any], tmp_path: Path) -> None:
    def stop(sample: Sample) -> None:
        if int(sample.name[-6:-4]) > 43:
            # A killed process ends the other one: each waits until both have done something.
            until = time.monotonic() + 30
            while {piece % 2 for piece in closed(tmp_path / "out")} != {0, 1} and time.monotonic() < until:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    def work(team: Team) -> None:
        find(Predictor(tmp_path / "log", gone=stop), pictures, tmp_path / "out", team=team)

    port, answers = free_port(), fork.Queue()
    processes = [fork.Process(target=member, args=(work, "torchrun", rank, port, answers)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    done = closed(tmp_path / "out")
    assert {piece % 2 for piece in done} == {0, 1}
    summary = find(Predictor(tmp_path / "log 2"), pictures, tmp_path / "out", resume=True)
    assert summary.taken_over == 4 * len(done) and files(tmp_path / "out") == whole


@pytest.mark.parametrize("killed", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_ends_the_other_one_in_the_middle_of_its_work(
    pictures: Dataset, whole: dict[str, Any], tmp_path: Path, killed: int, number: signal.Signals
) -> None:
    def work(team: Team) -> None:
        def gone(sample: Sample) -> None:
            if sample.name > "a 2":
                if team.rank == killed:
                    os.kill(os.getpid(), number)
                time.sleep(600)  # it would not need the other one for long

        find(Predictor(tmp_path / "log", gone=gone), pictures, tmp_path / "out", team=team)

    port, answers = free_port(), fork.Queue()
    processes = [fork.Process(target=member, args=(work, "torchrun", rank, port, answers)) for rank in range(2)]
    for process in processes:
        process.start()
    rank, (said, told) = answers.get(timeout=60)
    assert rank == 1 - killed and not told and "Another process of this task has ended" in said
    for process in processes:
        process.join()
    assert processes[killed].exitcode == -number
    find(Predictor(tmp_path / "log"), pictures, tmp_path / "out", resume=True)
    assert files(tmp_path / "out") == whole


def test_what_goes_wrong_in_one_process_is_raised_in_both_and_told_once(pictures: Dataset, tmp_path: Path) -> None:
    def fail(sample: Sample) -> None:
        raise BoxlessError("the second process stumbled")

    def work(team: Team) -> None:
        gone = (lambda sample: None) if team.first else fail
        find(Predictor(tmp_path / f"log {team.rank}", gone=gone), pictures, tmp_path / "out", team=team)

    assert two(work) == {
        0: ("the second process stumbled", True),
        1: ("the second process stumbled", False),
    }
    (tmp_path / "out" / "mine.txt").touch()
    refused = two(lambda team: find(Predictor(tmp_path / "log"), pictures, tmp_path / "out", team=team))
    assert refused[0][0] == refused[1][0] and "not finished" in refused[0][0]
    assert [reported_elsewhere for _, reported_elsewhere in (refused[0], refused[1])] == [False, True]


def test_a_launcher_that_started_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert world_layout(3, 2) == (3, 2)
    for name, value in started("torchrun", 0, "1").items():
        monkeypatch.setenv(name, value)
    assert world_layout(1, 1) == world_layout(2, 1) == (2, 1)
    with pytest.raises(UsageError, match="started 2 processes on each of 1 machines, and --devices 4"):
        world_layout(4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "devices"])
def test_the_command_in_two_processes_writes_what_it_writes_in_one(tmp_path: Path, launcher: str) -> None:
    squares = make_squares(tmp_path / "squares", 40)
    run = train_classifier("cam", {}, squares, None, quick(epochs=1), tmp_path / "run")
    predict_folder(
        trained(run, batch_size=4, device="cpu"),
        read_data(squares.source.root, "all"),
        tmp_path / "one",
        Progress(),
        format="coco",
    )
    command = ["-m", "boxless", "predict", run, squares.source.root, "--batch-size", "4", "--json"]
    command += ["--out", tmp_path / "two", "--device", "cpu"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = [*torchrun, *command] if launcher == "torchrun" else [*command, "--devices", "2"]
    done = subprocess.run([sys.executable, *map(str, started)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 40  # told once
    assert (tmp_path / "one" / "boxes.json").read_bytes() == (tmp_path / "two" / "boxes.json").read_bytes()


def test_photographs_that_are_replaced_are_named_and_done_again(pictures: Dataset, tmp_path: Path) -> None:
    def stop(sample: Sample) -> None:
        if sample.name == "a 30.png":
            raise KeyboardInterrupt

    root, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(pictures.source.root, root)
    photos = Dataset(FolderSource(root), pictures.samples)
    with pytest.raises(KeyboardInterrupt):
        find(Predictor(tmp_path / "log", gone=stop), photos, out)
    done = closed(out)
    assert {0, 1} <= done
    for name in ("broken 03.png", "a 05.png", "a 40.png"):  # the last one has not been read yet
        (root / name).write_bytes((root / name).read_bytes() + b" ")
    summary = find(Predictor(tmp_path / "log 2"), photos, out, resume=True)
    assert summary.changed == ["broken 03.png", "a 05.png"] and summary.taken_over == 4 * (len(done) - 2)
    again = set((tmp_path / "log 2").read_text().splitlines())
    assert {f"a 0{index}.png" for index in (0, 1, 2, 4, 5, 6, 7)} <= again and "a 08.png" not in again
    assert any("Replaced since then, and done again: 2: broken 03.png" in one for one in summary.words())
    assert find(Predictor(tmp_path / "log 3"), photos, out, resume=True).finished_before
    os.utime(root / "a 49.png")  # of a finished search, there is nothing to mix with
    summary = find(Predictor(tmp_path / "log 4"), photos, out, resume=True)
    assert summary.changed == ["a 49.png"] and summary.taken_over == 0 and not summary.finished_before


def test_what_is_done_again_counts_whoever_did_it_before(pictures: Dataset, tmp_path: Path) -> None:
    shards = Shards(tmp_path, {})
    shards.begin(resume=False, overwrite=False)
    one = Detections("a", (9, 9), np.ones((1, 4), np.float32), np.ones(1, np.float32), "thing", "")
    for rank, note in ((3, "old"), (0, "new")):  # of four processes, and later of one
        with shards.writing(rank) as writer:
            writer.add(replace(one, note=note), None)
            writer.close(0, {}, note)
    shards.scan()
    assert [found.note for found, _ in shards.found(1)] == ["new"] and shards.marks == {0: "new"}
