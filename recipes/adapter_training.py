"""Train the tower and projector: first against the names' embeddings and states alone, then through the frozen language model."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from adapter_model import MEAN, STD, Adapter
from adapter_states import LanguageModel, NameSpace, Reconstruction
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, log_softmax, normalize, softmax

logger = logging.getLogger(__name__)

TARGET_TEMPERATURE, TEMPERATURE = 0.1, 0.07
"""How far a picture's target spreads to names like its own, and how sharp its similarities to names are."""
EMA = 0.995
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Names:
    """One row for each emoji name of the fit part, and what the language model makes of it."""

    embeddings: Tensor
    """Mean scaled token embedding [n d_model]."""
    means: Tensor
    """Mean state [n d_model]."""
    space: NameSpace
    variance: Tensor
    """Summed variance of the states of single tokens."""

    @property
    def places(self) -> Tensor:
        """Unit vectors [n n_directions] of the mean states."""
        return self.space.place(self.means)


@dataclass(frozen=True)
class Pictures:
    """Pictures of the fit part: uint8 [n 64 64 3] on white, the row of ``Names`` that each shows, and which must not be mirrored."""

    pixels: np.ndarray
    name: np.ndarray
    one_way: np.ndarray


def normalised(pixels: np.ndarray) -> Tensor:
    """Return what the tower reads [n 3 64 64] of uint8 pixels [n 64 64 3]."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def augmented(pixels: np.ndarray, one_way: np.ndarray, generator: torch.Generator) -> Tensor:
    """Return normalised pixels, each shifted, scaled, turned a little, mirrored (unless ``one_way``) and recoloured at random."""
    n = len(pixels)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    white = torch.from_numpy(255 - pixels).permute(0, 3, 1, 2).float() / 255
    angle, scale = draw(-0.3, 0.3), draw(0.85, 1.35)
    mirror = torch.where((draw(0, 1) < 0.5) & ~torch.from_numpy(one_way), -1.0, 1.0)
    turn = torch.zeros(n, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 0, 2] = scale * angle.cos() * mirror, -scale * angle.sin(), draw(-0.2, 0.2)
    turn[:, 1, 0], turn[:, 1, 1], turn[:, 1, 2] = scale * angle.sin() * mirror, scale * angle.cos(), draw(-0.2, 0.2)
    # Beyond the edge is 0, which is white here.
    moved = 1 - grid_sample(white, affine_grid(turn, list(white.shape), align_corners=False), align_corners=False)
    # A random mixture of the channels turns hues; contrast and brightness follow.
    mixing = torch.eye(3) + 0.12 * torch.randn(n, 3, 3, generator=generator)
    mixing = mixing / mixing.sum(2, keepdim=True)
    coloured = torch.einsum("nij,njhw->nihw", mixing, moved)
    grey = coloured.mean(1, keepdim=True)
    coloured = grey + (coloured - grey) * draw(0.5, 1.3, 1, 1, 1)
    coloured = (coloured * draw(0.75, 1.1, 1, 1, 1) + draw(-0.08, 0.08, 1, 1, 1)).clamp(0, 1)
    size = 16
    top, left = (torch.randint(0, 64 - size, (n,), generator=generator) for _ in range(2))
    hidden = torch.rand(n, generator=generator) < 0.3
    for row in hidden.nonzero().flatten().tolist():
        coloured[row, :, top[row] : top[row] + size, left[row] : left[row] + size] = 0.7
    return (coloured - MEAN) / STD


def likeness_loss(places: Tensor, names: Names, shown: Tensor) -> Tensor:
    """Cross-entropy of a picture's similarities to all names against those of the name that it shows.

    The target is soft (names alike in state are alike as targets), so that the picture of an emoji that was never seen has somewhere to go.

    Args:
        places: unit vectors [batch n_directions].
        names: all names of the fit part.
        shown: row of the picture's name [batch].
    """
    known = names.places
    target = softmax(known[shown] @ known.T / TARGET_TEMPERATURE, dim=-1)
    return -(target * log_softmax(places @ known.T / TEMPERATURE, dim=-1)).sum(-1).mean()


class Average:
    """Exponential moving average of weights; buffers are copied."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = copy.deepcopy(model)
        self._steps = 0

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Move towards ``model``, faster in the first steps."""
        self._steps += 1
        keep = min(EMA, self._steps / (self._steps + 10))
        for ours, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, 1 - keep)
            else:
                ours.copy_(theirs)


class Learner(torch.nn.Module):
    """The adapter, and a head that the first stage compares with names and that is thrown away after it."""

    def __init__(self, n_directions: int) -> None:
        super().__init__()
        self.adapter = Adapter()
        self.head = torch.nn.Linear(self.adapter.multi_modal_projector.linear_1.in_features, n_directions)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors [batch n_directions] and image tokens [batch 4 d_model]."""
        features = self.adapter.features(pixels)
        return normalize(self.head(features.mean(1)), dim=-1), self.adapter.multi_modal_projector(features)


Score = Callable[[Learner], tuple[float, str]]


def inference(learner: Learner) -> Learner:
    """Set evaluation mode after training mode, which empties LeViT's cache of attention biases: it outlives changes of the weights."""
    return learner.train().eval()


@dataclass(frozen=True)
class Stage:
    """How long and how fast one stage learns."""

    name: str
    n_steps: int
    batch_size: int
    learning_rate: float
    seed: int


def run_stage(
    stage: Stage,
    learner: Learner,
    pictures: Pictures,
    loss: Callable[[Learner, Tensor, Tensor], Tensor],
    score: Score,
    score_every: int,
    checkpoint: Path,
) -> Learner:
    """Run one stage from its checkpoint, if there is one, and return the averaged learner.

    Args:
        stage: its length, and its seed, on which with the step all randomness depends.
        learner: where it starts; changed in place.
        pictures: what is learnt from.
        loss: of the learner, normalised pixels and shown names.
        score: says how the averaged learner does on the validation part.
        score_every: steps between scores.
        checkpoint: file that is replaced every two minutes.
    """
    decay = [weight for weight in learner.parameters() if weight.ndim > 1]
    plain = [weight for weight in learner.parameters() if weight.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=stage.n_steps + 1, pct_start=0.1, cycle_momentum=False
    )
    average = Average(learner)
    first = 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        learner.load_state_dict(kept["learner"])
        average.model.load_state_dict(kept["average"])
        average._steps = first = kept["step"]
        optimiser.load_state_dict(kept["optimiser"])
        schedule.load_state_dict(kept["schedule"])
        logger.info("%s: going on from step %d", stage.name, first)
    started = saved = time.monotonic()
    losses: list[float] = []
    for step in range(first, stage.n_steps):
        generator = torch.Generator().manual_seed(stage.seed * 1_000_003 + step)
        torch.manual_seed(stage.seed * 1_000_003 + step)
        chosen = torch.randint(len(pictures.pixels), (stage.batch_size,), generator=generator).numpy()
        pixels = augmented(pictures.pixels[chosen], pictures.one_way[chosen], generator)
        value = loss(learner, pixels, torch.from_numpy(pictures.name[chosen]))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update(learner)
        losses.append(value.item())
        done = step + 1 - first
        if (step + 1) % score_every == 0 or step + 1 == stage.n_steps:
            rate = done / (time.monotonic() - started)
            inference(average.model)
            logger.info(
                "%s: step %d of %d, loss %.3f, %s; %.2f steps/s, %.0f s left",
                stage.name,
                step + 1,
                stage.n_steps,
                np.mean(losses[-score_every:]),
                score(average.model)[1],
                rate,
                (stage.n_steps - step - 1) / rate,
            )
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == stage.n_steps:
            state = {"learner": learner.state_dict(), "average": average.model.state_dict(), "step": step + 1}
            state |= {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            saved = time.monotonic()
    return inference(average.model)


def loss_without_model(names: Names) -> Callable[[Learner, Tensor, Tensor], Tensor]:
    """Return the first stage's loss: the head finds the name, and the image tokens' mean is the mean of its token embeddings."""
    spread = names.embeddings.var(0).sum()

    def loss(learner: Learner, pixels: Tensor, shown: Tensor) -> Tensor:
        learner.train()
        places, tokens = learner(pixels)
        missed = (tokens.mean(1) - names.embeddings[shown]).square().sum(-1).mean() / spread
        apart = (tokens - tokens.mean(1, keepdim=True)).square().sum(-1).mean() / spread
        return likeness_loss(places, names, shown) + missed + 0.1 * apart

    return loss


@torch.no_grad()
def apply_contrast(learner: Learner, names: Names, contrast: float) -> Learner:
    """Return a copy whose image tokens differ ``contrast`` times as much from the mean name embedding.

    The first stage's image tokens are regressions and so too close to the mean: what the language model makes of them is alike.
    """
    made = copy.deepcopy(learner.train())
    last = made.adapter.multi_modal_projector.linear_2
    mean = names.embeddings.mean(0)
    last.weight.mul_(contrast)
    last.bias.copy_(mean + contrast * (last.bias - mean))
    return inference(made)


def loss_through_model(names: Names, model: LanguageModel, sae: Reconstruction) -> Callable[[Learner, Tensor, Tensor], Tensor]:
    """Return the second stage's loss: the mean state after block 9 finds the name, and the SAE rebuilds each state."""

    def loss(learner: Learner, pixels: Tensor, shown: Tensor) -> Tensor:
        inference(learner)  # The statistics of batch normalisation stay those of the first stage.
        states = model.states(learner.adapter(pixels))
        mean = states.mean(1)
        # Only the batch's mean is pulled to where names are: pulling single states would draw them together, as any regression does.
        offset = ((mean - names.means[shown]).mean(0) / names.space.scale).square().mean()
        return likeness_loss(names.space.place(mean), names, shown) + offset + 0.5 * sae.fvu(states, names.variance)

    return loss
