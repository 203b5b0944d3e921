"""The GANs whose discriminators boxless trains and reads: one recipe each, and the combinations known not to work.

Recipes are plain data and import no torch, so that listing them and printing help stays fast. `recipe(name, "paper")`
is "Generative Adversarial Networks for Unsupervised Object Co-localization" (Choe, Park, Shim) taken literally: Adam
2e-4 with betas .9 and .999, batch 128, normalisation in every convolution of D. "reference" is each GAN as its own
authors trained it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from boxless.runtime.errors import UsageError

Loss = Literal["non-saturating", "minimax", "wasserstein"]
Penalty = Literal["none", "wgan-gp", "dragan"]
Norm = Literal["bn", "ln", "none"]
Preset = Literal["paper", "reference"]
Latent = Literal["uniform", "normal"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one GAN differ from another: objective, normalisation of D, and optimizer."""

    summary: str
    loss: Loss = "non-saturating"
    """Eq. 3 (non-saturating), Eq. 2 (minimax) or Eq. 4 (Wasserstein) of the paper."""
    penalty: Penalty = "none"
    """Where the norm of D's gradient is driven to 1 (Eq. 5): between real and generated images, or around real ones."""
    penalty_weight: float = 10.0
    noise: Literal["uniform", "gaussian"] = "uniform"
    """DRAGAN's perturbation: its authors' code draws uniform noise, the paper's text says Gaussian."""
    clip: float = 0.0
    """D's parameters are clipped to this absolute value after each of its steps; 0 clips nothing."""
    norm: Norm = "bn"
    norm_first: bool = True
    """Whether D's first convolution is normalised too: Table 1 prints it, DCGAN's authors advise against it."""
    spectral: bool = False
    """Spectral normalisation of every convolution and linear layer of D."""
    d_steps: int = 1
    d_boost: int = 0
    """D steps in each of the first 25 iterations and in every 500th, as WGAN's authors do; 0 for no such boost."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    lr: float = 2e-4
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    batch_size: int = 128
    latent: Latent = "uniform"
    """z is drawn from U[-1, 1) or from N(0, 1)."""
    g_base: int = 128
    """Channels of G's first 4x4 maps: Table 1 prints 128, the DCGAN paper has 1024."""


GANS = {
    "dcgan": Recipe("Radford et al. 2016: non-saturating loss, batch normalisation"),
    "sn-dcgan": Recipe(
        "Miyato et al. 2018: DCGAN with spectral instead of batch normalisation", norm="none", spectral=True
    ),
    "dragan": Recipe("Kodali et al. 2017: DCGAN with a gradient penalty around real images", penalty="dragan"),
    "wgan-gp": Recipe(
        "Gulrajani et al. 2017: Wasserstein loss, gradient penalty between real and generated images",
        loss="wasserstein",
        penalty="wgan-gp",
        norm="ln",
        d_steps=5,
    ),
    "sn-wgan-gp": Recipe(
        "the paper's WGAN-GP with spectral normalisation on top of layer normalisation",
        loss="wasserstein",
        penalty="wgan-gp",
        norm="ln",
        spectral=True,
        d_steps=5,
    ),
    "minimax-dcgan": Recipe("Goodfellow et al. 2014: DCGAN with the minimax loss", loss="minimax"),
    "wgan": Recipe(
        "Arjovsky et al. 2017: Wasserstein loss, weights of D clipped",
        loss="wasserstein",
        clip=0.01,
        d_steps=5,
        optimizer="rmsprop",
        lr=5e-5,
    ),
}

_DCGAN: dict[str, Any] = {"norm_first": False, "beta1": 0.5, "g_base": 1024}
_REFERENCE: dict[str, dict[str, Any]] = {
    "dcgan": _DCGAN,
    "sn-dcgan": _DCGAN,
    "minimax-dcgan": _DCGAN,
    "dragan": {**_DCGAN, "norm": "ln", "lr": 1e-4, "beta2": 0.9, "batch_size": 64},
    "wgan-gp": {**_DCGAN, "lr": 1e-4, "beta1": 0.0, "beta2": 0.9, "batch_size": 64, "latent": "normal"},
    "sn-wgan-gp": {**_DCGAN, "lr": 1e-4, "beta1": 0.0, "beta2": 0.9, "batch_size": 64, "latent": "normal"},
    "wgan": {"norm_first": False, "g_base": 1024, "batch_size": 64, "latent": "normal", "d_boost": 100},
}


def recipe(gan: str, preset: Preset = "paper") -> Recipe:
    """The recipe of `gan` under `preset`; raises UsageError for names that do not exist."""
    if gan not in GANS:
        raise UsageError(f"There is no GAN called {gan!r}. Expected one of: {', '.join(GANS)}.")
    if preset not in ("paper", "reference"):
        raise UsageError(f"There is no preset {preset!r}. Expected paper or reference.")
    return GANS[gan] if preset == "paper" else replace(GANS[gan], **_REFERENCE[gan])


def check_combination(recipe: Recipe) -> list[str]:
    """What is known to go wrong with this combination, one sentence each.

    Raises UsageError for combinations that cannot work at all.
    """
    for reason in _refusals(recipe):
        raise UsageError(reason)
    return list(_doubts(recipe))


def _refusals(r: Recipe) -> Iterator[str]:
    if r.loss == "wasserstein" and r.penalty == "none" and not r.clip and not r.spectral:
        yield (
            "The Wasserstein loss needs a critic of bounded slope, and this one has no penalty, no clipping and no "
            "spectral normalisation: its loss would fall without end. Choose one of the three."
        )
    if r.clip > 0 and r.spectral:
        yield (
            "Clipping weights does nothing under spectral normalisation, which divides their scale out again. "
            "Choose one of the two."
        )
    if r.penalty != "none" and r.penalty_weight <= 0:
        yield f"The penalty weight is {r.penalty_weight}; expected more than 0."
    if r.d_steps < 1:
        yield f"D steps per G step are {r.d_steps}; expected at least 1."
    if r.batch_size < 2:
        yield f"The batch size is {r.batch_size}; expected at least 2."
    if r.lr <= 0:
        yield f"The learning rate is {r.lr}; expected more than 0."


def _doubts(r: Recipe) -> Iterator[str]:
    if r.penalty != "none" and r.norm == "bn":
        yield (
            "A gradient penalty needs the gradient of each image alone, and batch normalisation mixes the images of a "
            "batch, so what is penalised is not the slope of D; layer normalisation (norm = ln) keeps them apart."
        )
    if r.penalty == "dragan" and r.spectral:
        yield "The paper reports that DRAGAN with spectral normalisation generates no meaningful image."
    if r.penalty == "wgan-gp" and r.spectral and r.norm == "none":
        yield "The paper reports that SN-WGAN-GP cannot be trained without layer normalisation."
    if r.spectral and r.norm == "bn":
        yield "Batch normalisation rescales what spectral normalisation has bounded, so D's slope is not bounded."
    if r.loss == "wasserstein" and r.penalty == "none" and r.spectral:
        yield (
            "Spectral normalisation alone bounds the reshaped weights and not the slope of the convolution, so the "
            "Wasserstein critic is only roughly Lipschitz."
        )
    if r.loss == "minimax":
        yield (
            "The minimax loss has no gradient for G once D tells its images apart with certainty; the non-saturating "
            "loss keeps one."
        )
    if r.clip > 0 and r.optimizer == "adam" and r.beta1 > 0:
        yield "WGAN's authors report that a clipped critic is unstable under an optimizer with momentum; take rmsprop."
    if r.clip > 0 and r.loss != "wasserstein":
        yield "Weight clipping belongs to the Wasserstein loss and only weakens D under this one."
    if r.norm == "none" and not r.spectral and r.penalty == "none" and not r.clip:
        yield "Without normalisation, spectral normalisation or penalty D usually overpowers G in a few hundred steps."
