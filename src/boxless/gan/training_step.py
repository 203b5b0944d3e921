"""One iteration of GAN training: D steps, then a G step. Nothing in it waits for the device.

What makes it fast: real images are drawn and augmented on the device, convolutions run in bf16 with channels last (on
a processor in the forms of `convolution.py`), one power iteration serves all forwards of a D step, real and generated
images pass D together where no batch normalisation would mix them, and D's parameters get no gradient in G's step. What
a step draws depends on the seed and the step's number alone, so that a resumed run draws what the uninterrupted one
would have.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from boxless.gan import Recipe, cuda_graphs
from boxless.gan.augmentation import Batches
from boxless.gan.losses import around, between, clip_weights, d_loss, g_loss, gradient_penalty
from boxless.gan.networks import Discriminator, Generator, draw_z, frozen_parameters, frozen_statistics
from boxless.gan.spectral_norm import power_iteration

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as in glibc's malloc.h
TERMS = ("d_loss", "penalty", "g_loss", "real_logit", "fake_logit", "real_accuracy", "fake_accuracy")
"""What is logged of an iteration, in order; accuracies are the shares of a batch that D's sign gets right."""


class Step:
    """G, D and their optimizers on one device, and what updates them."""

    def __init__(
        self,
        recipe: Recipe,
        generator: Generator,
        discriminator: Discriminator,
        batches: Batches,
        *,
        bf16: bool,
        graph: bool = False,
    ) -> None:
        self.recipe = recipe
        self.device = batches.images.device
        self.generator, self.discriminator = generator.train(), discriminator.train()
        for network in (generator, discriminator):
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = batches
        self.g_optimizer = optimizer(generator, recipe, self.device)
        self.d_optimizer = optimizer(discriminator, recipe, self.device)
        self.draws = torch.Generator(self.device)
        self.terms = torch.zeros(len(TERMS), device=self.device)
        self.bf16 = bf16
        # Penalties ask for points between images and for gradients of gradients; small images have other strides.
        self.folded = self.device.type == "cpu" and generator.size >= 64 and recipe.penalty == "none"
        if self.device.type == "cpu":
            keep_freed_memory()
        self._eager_left = cuda_graphs.WARM_UP if graph and self.device.type == "cuda" else -1
        self.d_step: Callable[[], None] = self._d_step
        self.g_step: Callable[[], None] = self._g_step

    def iterate(self, seed: int, number: int) -> None:
        """Iteration `number` (from 0): the recipe's D steps, one G step; `terms` then holds its values."""
        if self._eager_left == 0:
            self.d_step = cuda_graphs.record(self._d_step, self.draws)
            self.g_step = cuda_graphs.record(self._g_step, self.draws)
        self._eager_left -= 1
        self.draws.manual_seed(seed_of(seed, number))
        if self._eager_left >= 0:
            cuda_graphs.on_side_stream(lambda: self._steps(number))
        else:
            self._steps(number)

    def _steps(self, number: int) -> None:
        for _ in range(d_steps(self.recipe, number)):
            self.d_step()
        self.g_step()

    def autocast(self) -> torch.autocast:
        """Where networks run: bf16 if the run has it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _d_step(self) -> None:
        power_iteration(self.discriminator)
        draw = self.batches.draw_folded if self.folded else self.batches.draw
        real = draw(self.recipe.batch_size, self.draws)
        with torch.no_grad(), self.autocast():
            fake = self._generate(draw_z(self.recipe.latent, len(real), self.draws))
        real, fake = (real.to(fake.dtype), fake) if self.folded else (real, fake.float())
        with parametrize.cached():
            with self.autocast():
                real_logit, fake_logit = self._logits(real, fake)
            loss = d_loss(self.recipe.loss, real_logit, fake_logit)
            penalty = self._penalty(real, fake)
            self.d_optimizer.zero_grad(set_to_none=True)
            (loss + self.recipe.penalty_weight * penalty).backward()  # type: ignore[no-untyped-call]
        self.d_optimizer.step()
        if self.recipe.clip:
            clip_weights(self.discriminator, self.recipe.clip)
        with torch.no_grad():
            right = ((real_logit > 0).float().mean(), (fake_logit < 0).float().mean())
            means = (real_logit.float().mean(), fake_logit.float().mean())
            self.terms[:2] = torch.stack([loss, penalty])
            self.terms[3:] = torch.stack([*means, *right])

    def _g_step(self) -> None:
        z = draw_z(self.recipe.latent, self.recipe.batch_size, self.draws)
        with frozen_parameters(self.discriminator), frozen_statistics(self.discriminator):
            with self.autocast():
                logit = self.discriminator(self._generate(z))
            loss = g_loss(self.recipe.loss, logit)
            self.g_optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        self.g_optimizer.step()
        self.terms[2] = loss.detach()

    def _generate(self, z: Tensor) -> Tensor:
        images: Tensor = self.generator.folded(z) if self.folded else self.generator(z)
        return images

    def _logits(self, real: Tensor, fake: Tensor) -> tuple[Tensor, ...]:
        if self.discriminator.norm == "bn":  # real and generated images are normalised apart
            return self.discriminator(real), self.discriminator(fake)
        return tuple(self.discriminator(torch.cat([real, fake])).chunk(2))

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.recipe.penalty == "none":
            return torch.zeros((), device=self.device)
        if self.recipe.penalty == "wgan-gp":
            points = between(real, fake, self.draws)
        else:
            points = around(real, self.draws, self.recipe.noise)
        return gradient_penalty(self._autocast_d, points)

    def _autocast_d(self, images: Tensor) -> Tensor:
        # Statistics of points that are no images would spoil those that heat maps are read with.
        with self.autocast(), frozen_statistics(self.discriminator):
            logits: Tensor = self.discriminator(images)
        return logits


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one: memory that went back to the system comes back unmapped.

    Without effect elsewhere. It holds for the process; its memory stays at the peak that a step has anyway.
    """
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(option, 2**30)


def d_steps(recipe: Recipe, number: int) -> int:
    """D steps of iteration `number` (from 0)."""
    boosted = recipe.d_boost and (number < 25 or number % 500 == 0)
    return recipe.d_boost if boosted else recipe.d_steps


def seed_of(seed: int, number: int) -> int:
    """A well-mixed 63-bit seed for the draws of one step of one run."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def optimizer(network: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimizer; on CUDA in the form that a captured graph can hold."""
    capturable = device.type == "cuda"
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), recipe.lr, eps=recipe.eps, capturable=capturable)
    betas = (recipe.beta1, recipe.beta2)
    return torch.optim.Adam(network.parameters(), recipe.lr, betas, recipe.eps, fused=True, capturable=capturable)
