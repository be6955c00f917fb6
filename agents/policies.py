"""Trained policies in pure torch: what a player sees, layers, and how an action is drawn; whole batches at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from advgames import rng
from advgames.errors import SettingError
from advgames.games.spaces import MASK, Ball, Box, Classes, Observation, Space

__all__ = ["Head", "ImageEncoder", "Part", "Policy", "head_of", "parts_of"]

HeadKind = Literal["categorical", "gaussian", "squashed", "deterministic", "greedy"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True)
class Part:
    """One entry of an observation, and how it is laid out as numbers.

    Attributes:
        name: of the entry.
        shape: of it, for one match.
        classes: numbers from 0 to classes - 1, as one-hot vectors; 0: real numbers as they are.
        images: whether they are a minibatch of images (B, C, H, W), read through an :class:`ImageEncoder`.
    """

    name: str
    shape: tuple[int, ...]
    classes: int = 0
    images: bool = False

    @property
    def size(self) -> int:
        """Numbers it becomes."""
        if self.images:
            return ImageEncoder.SIZE
        return int(torch.Size(self.shape).numel()) * (self.classes or 1)

    def encode(self, value: Tensor) -> Tensor:
        """Values (G, *shape) as numbers, (G, size)."""
        if self.classes:
            value = nn.functional.one_hot(value.long(), self.classes)
        return value.flatten(1).to(torch.float32)


@dataclass(frozen=True)
class Head:
    """How an action comes from the last layer's numbers.

    Attributes:
        kind: ``"categorical"`` (logits of choices), ``"gaussian"`` (means, with a standard deviation that depends on
            nothing, cut to the box), ``"squashed"`` (means and log standard deviations, through tanh),
            ``"deterministic"`` (tanh), or ``"greedy"`` (values of choices, the best is taken).
        shape: of an action of real numbers; () for a choice.
        classes: how many choices there are; 0: real numbers.
        low, high: bounds of real numbers.
    """

    kind: HeadKind
    shape: tuple[int, ...]
    classes: int = 0
    low: float = -1.0
    high: float = 1.0


class ImageEncoder(nn.Module):
    """A small CNN over the images of a minibatch, and the mean over them: (G, B, C, H, W) to (G, 32).

    Args:
        channels: of an image.
    """

    SIZE = 32

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, self.SIZE),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Numbers of every minibatch, (G, 32)."""
        each = self.layers(images.flatten(0, 1).to(torch.float32))
        return cast(Tensor, each.view(*images.shape[:2], -1).mean(1))


def parts_of(space: Observation, images: bool = False) -> tuple[Part, ...]:
    """What a policy reads of an observation, in the order of the names; masks and texts are not read.

    Args:
        space: of the observation.
        images: read minibatches of images through a CNN.

    Raises:
        SettingError: there is nothing to read.
    """
    parts = []
    for name in sorted(space):
        part = space[name]
        if isinstance(part, Classes):
            parts.append(Part(name, part.shape, part.n))
        elif isinstance(part, Box | Ball):
            parts.append(Part(name, part.shape, images=images and len(part.shape) == 4))
    if not parts:
        raise SettingError(f"a policy can read nothing of {', '.join(space) or 'an empty observation'}")
    return tuple(parts)


def head_of(space: Space, kind: HeadKind) -> Head:
    """The head of a policy that acts in `space`.

    Raises:
        SettingError: a policy of this kind cannot act there.
    """
    if isinstance(space, Classes) and not space.shape and kind in ("categorical", "greedy"):
        return Head(kind, (), space.n)
    if isinstance(space, Ball) and kind in ("gaussian", "squashed", "deterministic"):
        return Head(kind, space.shape)
    if isinstance(space, Box) and kind in ("gaussian", "squashed", "deterministic"):
        return Head(kind, space.shape, 0, space.low, space.high)
    raise SettingError(f"a policy with a {kind} head cannot act in {space}")


class Policy(nn.Module):
    """A frozen policy: reads an observation, runs it through layers, and draws an action.

    Args:
        parts: what it reads, in order.
        layers: of the body and the head: ``["linear", inputs, outputs]``, ``["tanh"]`` or ``["relu"]``.
        head: how an action comes about.
    """

    def __init__(self, parts: Sequence[Part], layers: Sequence[Sequence[Any]], head: Head) -> None:
        super().__init__()
        self.parts, self.layers, self.head = tuple(parts), [list(layer) for layer in layers], head
        with torch.random.fork_rng(devices=[]):  # modules initialise themselves from the global generator first
            self.encoders = nn.ModuleDict({p.name: ImageEncoder(p.shape[1]) for p in self.parts if p.images})
            self.body = nn.Sequential(*(_layer(layer) for layer in self.layers))
        count = int(torch.Size(head.shape).numel())
        self.log_std = nn.Parameter(torch.zeros(count)) if head.kind == "gaussian" else None
        self.eval().requires_grad_(False)

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, as JSON can hold it; :meth:`build` reads it."""
        return {"parts": [asdict(part) for part in self.parts], "layers": self.layers, "head": asdict(self.head)}

    @classmethod
    def build(cls, described: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Policy:
        """The policy that :meth:`describe` told of, with its weights.

        Raises:
            SettingError: they do not fit together.
        """
        try:
            parts = [Part(**{**part, "shape": tuple(part["shape"])}) for part in described["parts"]]
            head = Head(**{**described["head"], "shape": tuple(described["head"]["shape"])})
            policy = cls(parts, described["layers"], head)
            policy.load_state_dict(dict(weights))
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise SettingError(f"no policy can be built from this: {error}") from error
        return policy

    @torch.no_grad()
    def act(
        self, observation: Mapping[str, Tensor], keys: Tensor, deterministic: bool = False, counter: int = 0
    ) -> Tensor:
        """An action of every match, (G, *shape).

        Args:
            observation: what the player sees; where it holds an ``action_mask``, only legal actions are drawn.
            keys: seeds (G,) of the randomness.
            deterministic: the likeliest action, or the mean, instead of a drawn one.
            counter: of the draws by these keys.
        """
        out = self._out(observation)
        if self.head.classes:
            greedy = deterministic or self.head.kind == "greedy"
            return self._choice(self._logits(out, observation), keys, greedy, counter)
        return self._point(out, keys, deterministic, counter).view(-1, *self.head.shape)

    @torch.no_grad()
    def chances(self, observation: Mapping[str, Tensor]) -> Tensor:
        """How likely every choice is, (G, classes), in float64.

        Raises:
            SettingError: the policy chooses greedily, or acts by real numbers.
        """
        if self.head.kind != "categorical":
            raise SettingError(f"a policy with a {self.head.kind} head has no chances of choices")
        return self._logits(self._out(observation), observation).double().softmax(-1)

    def _out(self, observation: Mapping[str, Tensor]) -> Tensor:
        numbers = [
            self.encoders[part.name](observation[part.name]) if part.images else part.encode(observation[part.name])
            for part in self.parts
        ]
        return cast(Tensor, self.body(torch.cat(numbers, -1)))

    def _logits(self, out: Tensor, observation: Mapping[str, Tensor]) -> Tensor:
        return out.masked_fill(~observation[MASK].bool(), -torch.inf) if MASK in observation else out

    def _choice(self, logits: Tensor, keys: Tensor, deterministic: bool, counter: int) -> Tensor:
        if deterministic:
            return logits.argmax(-1)
        until = logits.double().softmax(-1).cumsum(-1)
        drawn = rng.uniform(keys, "policy", counter, (1,), dtype=torch.float64)
        return torch.searchsorted(until / until[:, -1:], drawn)[:, 0]

    def _point(self, out: Tensor, keys: Tensor, deterministic: bool, counter: int) -> Tensor:
        head = self.head
        mean, log_std = out.chunk(2, -1) if head.kind == "squashed" else (out, self.log_std)
        point = mean
        if not deterministic and log_std is not None:
            if head.kind == "squashed":
                log_std = log_std.clamp(-20.0, 2.0)  # as SAC keeps them
            point = mean + log_std.exp() * rng.normal(keys, "policy", counter, mean.shape[1:])
        if head.kind == "gaussian":
            return point.clamp(head.low, head.high)
        return head.low + (point.tanh() + 1) / 2 * (head.high - head.low)


def _layer(layer: Sequence[Any]) -> nn.Module:
    kind, *sizes = layer
    if kind == "linear":
        return nn.Linear(*sizes)
    return _ACTIVATIONS[kind]()
