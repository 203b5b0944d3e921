"""The options of GAN training: one typed dataclass, which the command line and settings.toml are made from."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from boxless.gan import Loss, Norm, Penalty, Preset, Recipe, recipe
from boxless.runtime.device_options import Precision
from boxless.runtime.errors import UsageError
from boxless.runtime.toml_settings import require_positive, require_side

Reading = Literal["cam", "ddt", "border", "smoothgrad", "position"]
Finer = Literal["none", "shift", "stride"]
READING = ("reading", "sign", "finer", "shifts", "layer")
"""The options that say how maps are read from D and that its training does not depend on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GanTraining:
    """How a GAN is trained. An option left at None takes the value of the GAN's recipe under `preset`."""

    preset: Preset = "paper"
    """paper: the co-localization paper's settings, literally; reference: those of each GAN's own authors."""
    iterations: int = 250_000
    """Generator updates; the paper trains for 250,000, each with one D update (five for WGANs)."""
    minutes: float | None = None
    """Stop after this many minutes with everything saved, to be resumed; None for no limit."""
    size: int = 64
    """Side of the images in pixels, a power of two from 16; other images are resized to it."""
    width: float = 1.0
    """Factor on the channels of every layer of G and D; 0.5 is about a quarter of the work."""
    augment: bool = False
    """Shift real images by 5 % of their side and change brightness, contrast, saturation and lighting."""
    loss: Loss | None = None
    """Objective of G and D."""
    penalty: Penalty | None = None
    """Gradient penalty on D."""
    penalty_weight: float | None = None
    """Factor of the gradient penalty; 10 in the papers that introduced them."""
    noise: Literal["uniform", "gaussian"] | None = None
    """Perturbation of the DRAGAN penalty."""
    clip: float | None = None
    """Absolute value that D's parameters are clipped to; 0 clips nothing."""
    norm: Norm | None = None
    """Normalisation in D: batch (bn), layer (ln) or none. G always has batch normalisation."""
    norm_first: bool | None = None
    """Whether D's first convolution is normalised too."""
    spectral: bool | None = None
    """Spectral normalisation of every convolution and linear layer of D."""
    d_steps: int | None = None
    """D updates per G update."""
    optimizer: Literal["adam", "rmsprop"] | None = None
    """Optimizer of G and D."""
    lr: float | None = None
    """Learning rate of G and D, constant over the run."""
    beta1: float | None = None
    """Adam's decay of the mean gradient."""
    beta2: float | None = None
    """Adam's decay of the mean squared gradient."""
    eps: float | None = None
    """Number added to the denominator of the optimizer's update."""
    batch_size: int | None = None
    """Images per step, drawn with replacement."""
    latent: Literal["uniform", "normal"] | None = None
    """Distribution of z, of 128 numbers: U[-1, 1) or N(0, 1)."""
    g_base: int | None = None
    """Channels of G's first 4x4 maps before `width`: 128 in the paper's table, 1024 in DCGAN's."""
    reading: Reading = "cam"
    """How heat maps are read from D: its class activation map, DDT or border distance of its inner features, the size
    of its logit's gradient (smoothgrad), or what a head on its frozen features says of a window's place (position)."""
    sign: Literal[1, -1] = 1
    """What a class activation map shows: 1 what makes an image real to D, -1 what makes it generated."""
    finer: Finer = "none"
    """How maps get a finer grid: shift (D runs on shifted images) or stride (the layer that is read has stride 1)."""
    shifts: int = 2
    """Shifted images per axis under finer = shift, which multiply the side of the map."""
    layer: int = -2
    """Which of D's layers ddt, border and position read, from 0; -1 is the last."""
    stop: Literal["last", "label-free"] = "last"
    """What best.pt is: the last state, or the one that criteria without boxes choose, which also end the run early."""
    judge_every: int = 0
    """Iterations between two measurements of these criteria (criteria.csv); 0: never, or every 1000 if they stop."""
    seed: int = 0
    """Seed of the weights and of every draw; the draws of a step depend on it and on the step alone."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Precision = "auto"
    """Numbers in the networks: bf16, fp32, or auto for bf16 where the device is faster with it."""
    workers: int | None = None
    """Threads that read images; None for one for each processor."""
    graph: bool = False
    """On CUDA, replay whole steps as captured graphs. Elsewhere without effect."""
    log_every: int = 100
    """Iterations between two rows of metrics.csv; the only times at which the host waits for the device."""
    save_every: int = 1000
    """Iterations between two writes of last.pt and samples.png."""

    def __post_init__(self) -> None:
        """Raise UsageError for values that no run can have."""
        if self.size < 16 or self.size & (self.size - 1):
            raise UsageError(
                f"The size is {self.size} pixels; a GAN needs a power of two from 16, such as 32, 64 or 128."
            )
        require_side(size=self.size)
        above_zero = ("iterations", "log_every", "save_every", "width", "batch_size", "workers")
        require_positive(**{name: getattr(self, name) for name in above_zero})

    @property
    def judging(self) -> int:
        """Iterations between two measurements of the label-free criteria; 0 for never."""
        return self.judge_every or (1000 if self.stop == "label-free" else 0)

    def recipe(self, gan: str) -> Recipe:
        """The recipe of `gan` under the preset, with the options that were chosen here in its place."""
        known = {field.name for field in fields(Recipe)}
        chosen = {name: value for name, value in asdict(self).items() if name in known and value is not None}
        return replace(recipe(gan, self.preset), **chosen)

    @property
    def map_options(self) -> dict[str, Any]:
        """How maps are read, as the options of a GanLocalizer."""
        return {name: getattr(self, name) for name in READING}

    def resolved(self, gan: str) -> dict[str, Any]:
        """Every option with the value it has in a run of `gan`; options that stay unset are left out."""
        values = {"method": gan, **asdict(self), **asdict(self.recipe(gan))}
        return {name: value for name, value in values.items() if value is not None and name != "summary"}
