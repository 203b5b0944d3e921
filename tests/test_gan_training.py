import csv
import errno
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from boxless.data.dataset import Dataset, Sample
from boxless.data.sources import FolderSource
from boxless.gan import GANS
from boxless.gan.augmentation import BRIGHTNESS, CONTRAST, GREY, LIGHTING, SATURATION, STRENGTH, Batches, _reflect
from boxless.gan.checkpoint_selection import PATIENCE, CheckpointCriteria, Selection
from boxless.gan.data import check_images, read_images
from boxless.gan.settings import GanTraining
from boxless.gan.training import GanTrainingRun, train_gan
from boxless.gan.training_log import COLUMNS, Meter, d_wins
from boxless.gan.training_step import TERMS, d_steps, seed_of
from boxless.inference.factory import trained
from boxless.inference.localizer import load
from boxless.inference.predict_folder import predict_folder
from boxless.runtime import checkpoint
from boxless.runtime.errors import BoxlessError, UsageError
from boxless.runtime.progress import Progress
from boxless.runtime.run_folder import MetricsTable
from boxless.runtime.toml_settings import to_toml

SIZE = 16


def pictures(count: int = 20, size: int = SIZE) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 4, 4, generator=draws)
    return (F.interpolate(small, size=size, mode="bilinear") * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def tiny(**options: Any) -> GanTraining:
    made = {"size": SIZE, "width": 1 / 16, "batch_size": 4, "iterations": 4, "log_every": 1, "save_every": 100}
    return GanTraining(**{**made, "precision": "fp32", **options})


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("gan", GANS)
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(gan: str, tmp_path: Path) -> None:
    train_gan(gan, pictures(), tiny(augment=True), tmp_path / "whole")
    train_gan(gan, pictures(), tiny(augment=True, iterations=2), tmp_path / "halves")
    train_gan(gan, pictures(), tiny(augment=True), tmp_path / "halves", resume=True)
    whole, halves = (checkpoint.read(tmp_path / name / "last.pt") for name in ("whole", "halves"))
    assert same(whole["model"], halves["model"]) and same(whole["generator"], halves["generator"])
    rows = [MetricsTable.resumed(tmp_path / name / "metrics.csv", COLUMNS, 4).rows for name in ("whole", "halves")]
    assert [[r for n, r in row.items() if n != "seconds"] for row in rows[0]] == [
        [r for n, r in row.items() if n != "seconds"] for row in rows[1]
    ]
    assert [row["step"] for row in rows[0]] == [1, 2, 3, 4]


@pytest.mark.parametrize("gan", GANS)
def test_training_moves_both_networks_and_leaves_a_whole_folder(gan: str, tmp_path: Path) -> None:
    settings = tiny(preset="reference", d_steps=1, iterations=2, g_base=16)
    begun = GanTrainingRun(gan, pictures(), settings, tmp_path / "begun")
    seen: list[tuple[int, int]] = []
    run = train_gan(gan, pictures(), settings, tmp_path / "run", progress=lambda i, n, row: seen.append((i, n)))
    assert {path.name for path in run.iterdir()} == {
        "settings.toml",
        "last.pt",
        "best.pt",
        "metrics.csv",
        "samples.png",
    }
    assert seen == [(1, 2), (2, 2)]
    content = checkpoint.read(run / "best.pt")
    assert content["kind"] == "gan" and content["method"] == gan and "trainer" not in content
    assert not torch.equal(content["generator"]["linear.weight"], begun.generator.linear.weight)
    heat = load(run).heatmap(torch.rand(2, 3, SIZE, SIZE))
    assert heat.shape == (2, 4, 4) and heat.isfinite().all()
    assert Image.open(run / "samples.png").size == (8 * SIZE, 8 * SIZE)


def plain_run(recipe_of: str, settings: GanTraining, steps: int) -> list[tuple[float, float]]:
    """The loop as one would write it: eager, fp32, contiguous, two passes of D, torch's own loss."""
    run = GanTrainingRun(recipe_of, pictures(), settings, Path())
    recipe, g, d = run.stepper.recipe, run.generator, run.discriminator
    optimizers = [torch.optim.Adam(n.parameters(), recipe.lr, (recipe.beta1, recipe.beta2)) for n in (g, d)]
    losses = []
    for number in range(steps):
        draws = torch.Generator().manual_seed(seed_of(settings.seed, number))
        for module in d.modules():
            if type(module).__name__ == "ParametrizationList":
                module[0].power_iteration(module.original)
        real = run.stepper.batches.images[torch.randint(20, (4,), generator=draws)].permute(0, 3, 1, 2).contiguous()
        real = real.float() / 127.5 - 1
        fake = g(torch.rand(4, 128, generator=draws) * 2 - 1).detach()
        d_loss = F.binary_cross_entropy_with_logits(d(real), torch.ones(4))
        d_loss = d_loss + F.binary_cross_entropy_with_logits(d(fake), torch.zeros(4))
        optimizers[1].zero_grad()
        d_loss.backward()
        optimizers[1].step()
        g_loss = F.binary_cross_entropy_with_logits(d(g(torch.rand(4, 128, generator=draws) * 2 - 1)), torch.ones(4))
        optimizers[0].zero_grad()
        g_loss.backward()
        optimizers[0].step()
        losses.append((d_loss.item(), g_loss.item()))
    return losses


@pytest.mark.parametrize("gan", ["dcgan", "sn-dcgan"])
def test_fast_and_plain_paths_agree(gan: str) -> None:
    plain = torch.tensor(plain_run(gan, tiny(), 50))
    for precision, steps, tolerance in (("fp32", 10, 2e-3), ("bf16", 50, 0.15)):
        run = GanTrainingRun(gan, pictures(), tiny(precision=precision), Path())
        fast = []
        for number in range(50):
            run.stepper.iterate(0, number)
            fast.append(run.stepper.terms[[0, 2]].clone())
        assert (torch.stack(fast) - plain)[:steps].abs().max() < tolerance


def test_ctrl_c_saves_between_steps_and_can_be_resumed(tmp_path: Path) -> None:
    def press(step: int, steps: int, row: Mapping[str, float]) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_gan("dcgan", pictures(), tiny(), tmp_path / "run", progress=press)
    assert checkpoint.read(tmp_path / "run" / "last.pt")["step"] == 2
    train_gan("dcgan", pictures(), tiny(), tmp_path / "run", resume=True)
    train_gan("dcgan", pictures(), tiny(), tmp_path / "whole")
    run, whole = (checkpoint.read(tmp_path / name / "last.pt") for name in ("run", "whole"))
    assert same(run["model"], whole["model"])


def test_label_free_choice_is_kept_and_resumed(tmp_path: Path) -> None:
    settings = {"stop": "label-free", "judge_every": 1, "iterations": 6}
    train_gan("sn-dcgan", pictures(), tiny(**settings), tmp_path / "whole")
    train_gan("sn-dcgan", pictures(), tiny(**settings | {"iterations": 3}), tmp_path / "halves")
    train_gan("sn-dcgan", pictures(), tiny(**settings), tmp_path / "halves", resume=True)
    whole, halves = (tmp_path / name for name in ("whole", "halves"))
    assert (whole / "criteria.csv").read_text() == (halves / "criteria.csv").read_text()
    best = [checkpoint.read(folder / "best.pt") for folder in (whole, halves)]
    assert best[0]["step"] == best[1]["step"] and same(best[0]["model"], best[1]["model"])
    selection = Selection(whole / "criteria.csv", CheckpointCriteria(pictures(), load(whole).network, 0), 6)
    assert [scores.step for scores in selection.scores] == [1, 2, 3, 4, 5, 6]
    assert selection.chosen() == best[0]["step"]


def test_a_run_ends_when_its_choice_has_stood_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxless.gan.checkpoint_selection.select_checkpoint", lambda scores, untrained: 2)
    train_gan("dcgan", pictures(), tiny(stop="label-free", judge_every=1, iterations=99), tmp_path)
    assert checkpoint.read(tmp_path / "last.pt")["step"] == 2 + PATIENCE
    assert checkpoint.read(tmp_path / "best.pt")["step"] == 2


def test_losses_that_stop_being_numbers_end_the_run_and_keep_the_good_checkpoint(tmp_path: Path) -> None:
    train_gan("sn-dcgan", pictures(), tiny(iterations=2), tmp_path)
    good = (tmp_path / "last.pt").read_bytes()
    run = GanTrainingRun("sn-dcgan", pictures(), tiny(save_every=3), tmp_path)
    run.load(run.folder.load())
    run.generator.linear.weight.data[0, 0] = float("nan")
    with pytest.raises(BoxlessError, match=r"d_loss .*iteration 3; .*last.pt is from before that"):
        run.train(lambda step, steps, row: None)
    assert (tmp_path / "last.pt").read_bytes() == good


@pytest.mark.parametrize(("term", "value"), [(1, float("inf")), (2, float("nan"))])
def test_the_term_that_broke_first_is_named(term: int, value: float) -> None:
    meter = Meter(torch.device("cpu"))
    for number in range(6):
        terms = torch.ones(len(TERMS))
        if number >= 3:
            terms[term] = value
        if number >= 4:
            terms[0] = float("nan")  # and what follows from it
        meter.add(terms, number)
    assert meter.broken() == f"{TERMS[term]} stopped being a finite number in iteration 4"


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_gan("dcgan", pictures(), tiny(iterations=2), tmp_path)
    good = (tmp_path / "last.pt").read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BoxlessError, match="No space left on device"):
        train_gan("dcgan", pictures(), tiny(), tmp_path, resume=True)
    monkeypatch.undo()
    assert (tmp_path / "last.pt").read_bytes() == good
    assert not list(tmp_path.glob("*.tmp*")) and not list(tmp_path.glob(".*.pt*"))
    train_gan("dcgan", pictures(), tiny(), tmp_path, resume=True)  # with space again it goes on
    assert checkpoint.read(tmp_path / "last.pt")["step"] == 4


def test_d_winning_outright_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("boxless.gan.training.d_wins", lambda rows: len(rows) >= 2)
    train_gan("dcgan", pictures(), tiny(), tmp_path)
    said = [record.getMessage() for record in caplog.records if "D wins outright" in record.getMessage()]
    assert len(said) == 1 and "at iteration 2" in said[0] and "What helps" in said[0]


def test_some_flat_images_are_counted_and_stay(caplog: pytest.LogCaptureFixture) -> None:
    images = pictures()
    images[:3] = 7
    check_images(images, SIZE, 4)
    assert "3 of 20 images are one flat colour each" in caplog.text


def test_a_run_is_not_overwritten_and_not_resumed_as_another(tmp_path: Path) -> None:
    train_gan("dcgan", pictures(), tiny(iterations=1), tmp_path)
    with pytest.raises(UsageError, match="already holds a run"):
        train_gan("dcgan", pictures(), tiny(), tmp_path)
    with pytest.raises(UsageError, match="has method = 'dcgan', not 'dragan'"):
        train_gan("dragan", pictures(), tiny(), tmp_path, resume=True)
    with pytest.raises(UsageError, match=r"There is no last.pt"):
        train_gan("dcgan", pictures(), tiny(), tmp_path / "nothing", resume=True)
    with pytest.raises(UsageError, match=r"has data \(a hash of its images\) = "):
        train_gan("dcgan", pictures().flip(0), tiny(), tmp_path, resume=True)
    train_gan("dcgan", pictures(), tiny(iterations=3), tmp_path, resume=True)
    with pytest.raises(UsageError, match="has done 3 iterations, and 2 are asked for"):
        train_gan("dcgan", pictures(), tiny(iterations=2), tmp_path, resume=True)
    assert "iterations = 3" in (tmp_path / "settings.toml").read_text()


def test_boxes_are_called_as_the_images_are_and_else_as_the_run_s_category(tmp_path: Path) -> None:
    for name in ("beetle/1.png", "star/2.png", "3.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures()[int(name[-5])].numpy()).save(tmp_path / "photos" / name)
    samples = [Sample("beetle/1.png", 0), Sample("star/2.png", 1), Sample("3.png")]
    photos = Dataset(FolderSource(tmp_path / "photos"), samples, ["beetle", "star"])
    run = train_gan("dcgan", pictures(), tiny(iterations=1), tmp_path / "run", category="star")
    predict_folder(trained(run), photos, tmp_path / "found", Progress(), format="csv")
    rows = csv.DictReader((tmp_path / "found" / "boxes.csv").read_text().splitlines())
    assert {row["image"]: row["class"] for row in rows} == {
        "beetle/1.png": "beetle",
        "star/2.png": "star",
        "3.png": "star",
    }


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BoxlessError, match="Could not write"):
        train_gan("dcgan", pictures(), tiny(), tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.full((5, SIZE, SIZE, 3), 7, dtype=torch.uint8), "one flat colour"),
        (pictures(1), "at least two"),
        (pictures(5, 32), "Resize them first"),
    ],
)
def test_images_that_no_gan_can_learn_from(images: Tensor, said: str, tmp_path: Path) -> None:
    with pytest.raises(BoxlessError, match=said):
        train_gan("dcgan", images, tiny(), tmp_path)


def test_images_of_another_type_are_refused() -> None:
    with pytest.raises(BoxlessError, match="float32"):
        check_images(pictures().float(), SIZE, 4)


def test_images_are_read_resized_and_broken_ones_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, size in (("a.png", (40, 20)), ("c.png", (SIZE, SIZE))):
        Image.new("RGB", size, (200, 100, 50)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no image")
    samples = [Sample(name) for name in ("a.png", "b.png", "c.png")]
    images = read_images(Dataset(FolderSource(tmp_path), samples), SIZE)
    assert images.shape == (2, SIZE, SIZE, 3) and (images == torch.tensor([200, 100, 50])).all()
    assert "b.png" in caplog.text and "c.png" not in caplog.text
    with pytest.raises(BoxlessError, match="None of the 1 images could be read"):
        read_images(Dataset(FolderSource(tmp_path), samples[1:2]), SIZE)


def test_fewer_images_than_a_batch_are_said_and_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train_gan("dcgan", pictures(3), tiny(iterations=1), tmp_path)
    assert "3 images are fewer than a batch of 4" in caplog.text


def test_winning_outright_is_seen_after_five_rows() -> None:
    won = dict.fromkeys(COLUMNS, 0.0) | {"real_accuracy": 1.0, "fake_accuracy": 1.0, "d_loss": 0.01}
    assert not d_wins([won] * 4)
    assert d_wins([won | {"fake_accuracy": 0.9}, *[won] * 5])
    assert not d_wins([*[won] * 5, won | {"fake_accuracy": 0.9}])
    assert not d_wins([*[won] * 5, won | {"d_loss": 0.4}])


def test_how_maps_are_read_is_kept_and_may_change_without_training_again(tmp_path: Path) -> None:
    train_gan("sn-dcgan", pictures(), tiny(iterations=2, sign=-1, finer="stride"), tmp_path)
    before = load(tmp_path).network
    assert (before.sign, before.finer) == (-1, "stride")
    train_gan("sn-dcgan", pictures(), tiny(iterations=2, reading="border", layer=0), tmp_path, resume=True)
    after = load(tmp_path).network
    assert (after.reading, after.finer, len(after.read_layers)) == ("border", "none", 1)
    assert same(before.discriminator.state_dict(), after.discriminator.state_dict())
    with pytest.raises(UsageError, match="no layer 9"):
        train_gan("sn-dcgan", pictures(), tiny(reading="ddt", layer=9), tmp_path / "other")


def test_checkpoints_that_one_reading_judged_are_not_judged_on_by_another(tmp_path: Path) -> None:
    judged = {"judge_every": 1, "stop": "label-free"}
    train_gan("sn-dcgan", pictures(), tiny(iterations=2, **judged), tmp_path)
    with pytest.raises(UsageError, match=r"were judged by their maps as cam reads them.*--judge-every 0"):
        train_gan("sn-dcgan", pictures(), tiny(iterations=3, reading="smoothgrad", **judged), tmp_path, resume=True)
    train_gan("sn-dcgan", pictures(), tiny(iterations=2, reading="smoothgrad"), tmp_path, resume=True)
    assert load(tmp_path).network.reading == "smoothgrad"


def test_time_limit_stops_and_saves(tmp_path: Path) -> None:
    train_gan("dcgan", pictures(), tiny(iterations=10**6, minutes=1e-3), tmp_path)
    assert 0 < checkpoint.read(tmp_path / "last.pt")["step"] < 10**5


def test_sizes_that_are_no_power_of_two_are_refused() -> None:
    with pytest.raises(UsageError, match="power of two"):
        GanTraining(size=96)


def test_settings_are_written_as_toml() -> None:
    import tomllib

    values = tiny(lr=1e-3).resolved("wgan-gp")
    assert tomllib.loads(to_toml(values)) == values
    assert values["lr"] == 1e-3 and values["penalty"] == "wgan-gp" and values["d_steps"] == 5


def test_wgans_authors_train_the_critic_longer_at_first() -> None:
    recipe = GanTraining(preset="reference").recipe("wgan")
    assert [d_steps(recipe, number) for number in (0, 24, 25, 499, 500, 501)] == [100, 100, 5, 5, 100, 5]


def test_batches_lie_in_range_and_depend_on_the_seed_alone() -> None:
    for augment in (False, True):
        batches = Batches(pictures(), augment=augment)
        first, again, other = (batches.draw(8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert first.shape == (8, 3, SIZE, SIZE) and first.abs().max() <= 1
        assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_unaugmented_batches_are_the_images() -> None:
    images = pictures()
    batch = Batches(images, augment=False).draw(50, torch.Generator().manual_seed(0))
    restored = ((batch + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert all((restored[i] == images).flatten(1).all(1).any() for i in range(50))


def test_colour_change_is_the_four_operations_one_after_the_other() -> None:
    image = torch.rand(1, 3, 50)  # (batch, channel, pixel)
    batches = Batches(pictures(), augment=True)
    orders = set()
    for seed in range(20):
        matrix, offset = batches.colour_change(image.mean(2), torch.Generator().manual_seed(seed))
        draws = torch.Generator().manual_seed(seed)
        factor = 1 + STRENGTH * (2 * torch.rand(3, 1, 1, 1, generator=draws) - 1).flatten()
        light = LIGHTING * batches._light @ torch.randn(1, 3, generator=draws)[0]
        order = torch.rand(1, 4, generator=draws).argsort(1)[0].tolist()
        orders.add(tuple(order))
        x = image[0]
        for which in order:
            if which == BRIGHTNESS:
                x = x * factor[BRIGHTNESS]
            elif which == CONTRAST:
                x = (x - x.mean(1, keepdim=True)) * factor[CONTRAST] + x.mean(1, keepdim=True)
            elif which == SATURATION:
                x = x * factor[SATURATION] + (torch.tensor(GREY) @ x) * (1 - factor[SATURATION])
            else:
                x = x + light[:, None]
        torch.testing.assert_close(matrix[0] @ image[0] + offset[0][:, None], x)
    assert len(orders) > 5


def test_reflection() -> None:
    assert _reflect(torch.arange(-2, 7), 5).tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]


def test_half_a_row_that_a_kill_left_is_not_taken_for_one(tmp_path):
    whole = MetricsTable(tmp_path / "metrics.csv", ("step", "loss"))
    for step in (2, 4):
        whole.append({"step": step, "loss": step / 3})
    for half in ("6", "6,0.1"):
        with (tmp_path / "metrics.csv").open("a") as file:
            file.write(half)
        resumed = MetricsTable.resumed(tmp_path / "metrics.csv", ("step", "loss"), 6)
        assert [row["step"] for row in resumed.rows] == [2, 4]
        assert (tmp_path / "metrics.csv").read_text() == "step,loss\n2,0.666666667\n4,1.33333333\n"
