"""Views: what a learner sees and does in place of a game's own observations and actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from advgames import rng
from advgames.access import Access, PerturbationAccess, WhiteBox, require
from advgames.agents.base import Agent, pack, unpack
from advgames.errors import SettingError, UnknownNameError
from advgames.games.perturbation_access import SoftLabelAccess
from advgames.games.poisoning import LEAST_LOSS
from advgames.games.poisoning_access import PoisoningAccess
from advgames.games.spaces import Box, Observation, Space

__all__ = ["FEATURES", "Feature", "Moves", "StrategyMix", "Subspace", "View"]

Seen = Mapping[str, Tensor]
Basis = Literal["dct", "pca", "random"]


@dataclass(frozen=True)
class Feature:
    """Numbers that a learner sees, computed from what its player sees and knows.

    Attributes:
        about: one line.
        kind: the access it needs: any :class:`~advgames.access.PerturbationAccess` or a subclass.
        shape: of it for one match.
        value: of it, (G, *shape).
    """

    about: str
    kind: type[PerturbationAccess]
    shape: Callable[[Any], tuple[int, ...]]
    value: Callable[[Seen, Any], Tensor]


def _input_shape(access: PerturbationAccess) -> tuple[int, ...]:
    space = access.observation_space["inputs"]
    assert isinstance(space, Box)
    return space.shape


def _direction(order: Literal["first", "second", "exact"]) -> Feature:
    def value(seen: Seen, access: WhiteBox) -> Tensor:
        return access.threat.unit(access.utility_gradient(seen["inputs"], order))

    return Feature(f"the {order}-order direction of steepest utility, at every input", WhiteBox, _input_shape, value)


def _steepness(seen: Seen, access: WhiteBox) -> Tensor:
    slope: Tensor = access.utility_gradient(seen["inputs"]).flatten(1).norm(dim=1, keepdim=True)
    return slope.clamp(min=LEAST_LOSS).log10() / 10


def _margins(seen: Seen, access: SoftLabelAccess) -> Tensor:
    return access.margins(seen["inputs"])


def _log_loss(seen: Seen, access: PerturbationAccess) -> Tensor:
    return seen["validation_loss"].clamp(min=LEAST_LOSS).log10() / 10


def _momentum(seen: Seen, access: PoisoningAccess) -> Tensor:
    """Cosine, and the ratio of lengths as a logarithm, of the momentum and the validation gradient; 0 without one."""
    gradient = access.validation.gradient
    buffers = access.buffers
    pairs = [(buffers[key], gradient[name]) for name in gradient if (key := f"momentum.{name}") in buffers]
    if not pairs:
        return seen["inputs"].new_zeros(len(seen["inputs"]), 2)
    own, other = (torch.cat([pair[n].flatten(1) for pair in pairs], 1) for n in (0, 1))
    lengths = [each.norm(dim=1) for each in (own, other)]
    cosine = (own / lengths[0][:, None].clamp(min=LEAST_LOSS) * other / lengths[1][:, None].clamp(min=LEAST_LOSS)).sum(
        1
    )
    ratio = (lengths[0].clamp(min=LEAST_LOSS) / lengths[1].clamp(min=LEAST_LOSS)).log10().clamp(-5, 5)
    return torch.stack([cosine, ratio], 1)


FEATURES: dict[str, Feature] = {
    "first-direction": _direction("first"),
    "second-direction": _direction("second"),
    "exact-direction": _direction("exact"),
    "steepness": Feature(
        "log10 of the length of the utility gradient, over 10", WhiteBox, lambda access: (1,), _steepness
    ),
    "log-loss": Feature(
        "log10 of the validation loss, over 10, in the training-time game",
        PoisoningAccess,
        lambda access: (1,),
        _log_loss,
    ),
    "margins": Feature(
        "what is left of the classes' margins at the inputs, in the test-time game",
        SoftLabelAccess,
        lambda access: _input_shape(access)[:1],
        _margins,
    ),
    "momentum": Feature(
        "cosine and log10 of the ratio of the optimiser's momentum and the validation gradient",
        PoisoningAccess,
        lambda access: (2,),
        _momentum,
    ),
}


class Moves:
    """Actions of a learner, and what they stand for in the game."""

    def reset(self, access: Any) -> None:
        """Begin a batch of matches."""

    def space(self, access: Any) -> Space:
        """Its actions."""
        raise NotImplementedError

    def expand(self, action: Tensor, observation: Seen, access: Any) -> Tensor:
        """The game's action, (G, ...), for the learner's."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What it was made of, as JSON can hold it."""
        raise NotImplementedError

    def memory(self) -> dict[str, Tensor]:
        """What must be saved for a match to go on later."""
        return {}

    def restore(self, memory: Seen) -> None:
        """Take back what :meth:`memory` gave."""


class StrategyMix(Moves):
    """A weight in [-1, 1] for each of some agents: what they would do, weighted, summed, and kept to the radius.

    Args:
        agents: names, or agents (a learner can be kept only where they have names); doing nothing needs none of them.
    """

    def __init__(self, agents: Sequence[str | Agent]) -> None:
        from advgames.agents.registry import make_agent  # which knows learned players, and these know views

        if not agents or isinstance(agents, str):
            raise SettingError(f"a mix of strategies needs a list of at least one agent, got {agents!r}")
        self.names = [agent if isinstance(agent, str) else repr(agent) for agent in agents]
        self.agents = [make_agent(agent) for agent in agents]

    def reset(self, access: PerturbationAccess) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the access granted is below what an agent needs.
        """
        for agent in self.agents:
            agent.reset(access)

    def space(self, access: PerturbationAccess) -> Space:
        """One weight per agent."""
        return Box((len(self.agents),), -1.0, 1.0)

    def expand(self, action: Tensor, observation: Seen, access: PerturbationAccess) -> Tensor:
        """The mix, (G, B, *input_shape)."""
        moves = torch.stack([agent.act(observation, access) for agent in self.agents], 1)
        weights = action.to(moves.dtype).view(*action.shape, *[1] * (moves.ndim - 2))
        return access.threat.project((weights * moves).sum(1))

    def describe(self) -> dict[str, Any]:
        """The agents' names."""
        return {"kind": "strategy-mix", "agents": self.names}

    def memory(self) -> dict[str, Tensor]:
        """What the agents remember."""
        return pack(dict(enumerate(self.agents)))

    def restore(self, memory: Seen) -> None:
        """Take back what :meth:`memory` gave."""
        unpack(memory, dict(enumerate(self.agents)))


class Subspace(Moves):
    """Coefficients in [-1, 1] on a few patterns: one perturbation for all inputs of the minibatch, or per class.

    Args:
        basis: ``"dct"``: the lowest frequencies of an image; ``"pca"``: the principal components of inputs that the
            player knows; ``"random"``: directions drawn once. Each has norm 1.
        size: how many.
        per_class: a set of coefficients for every class, put on the inputs of that class: patterns that tell the
            classes apart. The player must see labels.
    """

    def __init__(self, basis: Basis = "dct", size: int = 8, per_class: bool = False) -> None:
        if basis not in get_args(Basis):
            raise UnknownNameError("basis", basis, get_args(Basis))
        if size < 1:
            raise SettingError(f"size must be positive, got {size}")
        self.basis, self.size, self.per_class = basis, size, per_class
        self._patterns: Tensor | None = None

    def reset(self, access: PerturbationAccess) -> None:
        """Begin a batch of matches, with patterns of its inputs."""
        self._patterns = None

    def space(self, access: PerturbationAccess) -> Space:
        """The coefficients.

        Raises:
            SettingError: there are fewer patterns than asked for, or no labels to see.
        """
        patterns = self._made(access)
        if len(patterns) < self.size:
            raise SettingError(
                f"{self.basis} has {len(patterns)} patterns for inputs {access.input_shape}, not {self.size}"
            )
        return Box((self._classes(access), self.size) if self.per_class else (self.size,), -1.0, 1.0)

    def expand(self, action: Tensor, observation: Seen, access: PerturbationAccess) -> Tensor:
        """The perturbations, (G, B, *input_shape)."""
        inputs = observation["inputs"]
        patterns = self._made(access).to(inputs)
        made = torch.tensordot(action.to(inputs.dtype), patterns, 1)  # (G, [classes,] *input_shape)
        if self.per_class:
            row = torch.arange(len(inputs), device=inputs.device)[:, None]
            moves = made[row, observation["labels"]]
        else:
            moves = made[:, None].expand_as(access.pool(inputs))
        return access.threat.project(moves)

    def describe(self) -> dict[str, Any]:
        """Its arguments."""
        return {"kind": "subspace", "basis": self.basis, "size": self.size, "per_class": self.per_class}

    def _classes(self, access: PerturbationAccess) -> int:
        classes = getattr(access.observation_space.get("labels"), "n", 0)
        if not classes:
            raise SettingError(f"a subspace per class needs labels, which the {access.player} does not see")
        return int(classes)

    def _made(self, access: PerturbationAccess) -> Tensor:
        """The patterns, (size, *input_shape), of norm 1."""
        if self._patterns is None:
            shape = access.input_shape
            if self.basis == "random":
                number = int(torch.Size(shape).numel())
                raw = rng.normal(rng.seed_tensor([0]), "subspace", 0, (self.size, number), dtype=torch.float64)[0]
            elif self.basis == "pca":
                raw = _components(access, self.size)
            else:
                raw = _cosines(shape, self.size)
            self._patterns = access.threat.unit(raw.view(1, -1, *shape))[0]
        return self._patterns


def _components(access: Any, size: int) -> Tensor:
    """The first `size` principal components of 1,000 inputs at most that the player knows, flattened.

    Raises:
        SettingError: the game lets it know none.
    """
    if not hasattr(access, "known"):
        raise SettingError(f"principal components need inputs, which the {access.player} is not given here")
    inputs = access.known(1_000).double().flatten(1)
    _, _, components = torch.linalg.svd(inputs - inputs.mean(0), full_matrices=False)
    first: Tensor = components[:size]
    largest = first.gather(1, first.abs().argmax(1, keepdim=True))  # signs are nobody's: the largest entry is positive
    return first * largest.sign()


def _cosines(shape: tuple[int, ...], size: int) -> Tensor:
    """The `size` lowest frequencies of the discrete cosine transform of images (channels alike), flattened."""
    height, width = shape[-2:] if len(shape) >= 2 else (1, shape[-1])
    at = [torch.arange(count, dtype=torch.float64) + 0.5 for count in (height, width)]
    pairs = sorted(((i, j) for i in range(height) for j in range(width)), key=lambda p: (p[0] + p[1], p))[:size]
    waves = [
        torch.outer(torch.cos(torch.pi * i * at[0] / height), torch.cos(torch.pi * j * at[1] / width)) for i, j in pairs
    ]
    return torch.stack([wave.view(shape[-2:]).expand(shape).reshape(-1) for wave in waves])


class View:
    """What a learner sees and does.

    Args:
        features: names of :data:`FEATURES`, and of entries of the player's own observation; None: all of the latter.
        moves: what its actions stand for; None: they are the game's own.
    """

    def __init__(self, features: Sequence[str] | None = None, moves: Moves | None = None) -> None:
        if isinstance(features, str):
            raise SettingError(f"features are a list of names, got {features!r}")
        if moves is not None and not isinstance(moves, Moves):
            raise SettingError(f"moves must be Moves, such as StrategyMix(...), got {moves!r}")
        self.features, self.moves = None if features is None else tuple(features), moves

    def reset(self, access: Any) -> None:
        """Begin a batch of matches.

        Raises:
            UnknownNameError: a feature that is neither a name nor an entry of the observation.
            AccessError: the player may not know what a feature tells.
        """
        for name in self.features or ():
            if name in FEATURES:
                self._check(name, access)
            elif name not in access.observation_space:
                raise UnknownNameError("feature", name, [*FEATURES, *access.observation_space])
        if self.moves is not None:
            self.moves.reset(access)

    def observation_space(self, access: Access) -> Observation:
        """What the learner sees of one match."""
        space = access.observation_space
        if self.features is None:
            return space
        return {name: Box(FEATURES[name].shape(access)) if name in FEATURES else space[name] for name in self.features}

    def action_space(self, access: Access) -> Space:
        """The learner's actions."""
        return access.action_space if self.moves is None else self.moves.space(access)

    def observe(self, observation: Seen, access: Any) -> dict[str, Tensor]:
        """What the learner sees, name -> (G, ...)."""
        if self.features is None:
            return dict(observation)
        return {
            name: FEATURES[name].value(observation, access) if name in FEATURES else observation[name]
            for name in self.features
        }

    def expand(self, action: Tensor, observation: Seen, access: Any) -> Tensor:
        """The game's action for the learner's, (G, ...)."""
        return action if self.moves is None else self.moves.expand(action, observation, access)

    def memory(self) -> dict[str, Tensor]:
        """What must be saved for a match to go on later."""
        return {} if self.moves is None else self.moves.memory()

    def restore(self, memory: Seen) -> None:
        """Take back what :meth:`memory` gave."""
        if self.moves is not None:
            self.moves.restore(memory)

    def describe(self) -> dict[str, Any]:
        """What it was made of, as JSON can hold it; :meth:`build` reads it."""
        moves = None if self.moves is None else self.moves.describe()
        return {"features": None if self.features is None else list(self.features), "moves": moves}

    @classmethod
    def build(cls, described: Mapping[str, Any]) -> View:
        """The view that :meth:`describe` told of.

        Raises:
            SettingError: it tells of none.
        """
        from advgames.agents.dialogue_view import DialogueActs  # which is one of these

        if unknown := sorted(set(described) - {"features", "moves"}):
            raise UnknownNameError("field of a view", unknown[0], ("features", "moves"))
        try:
            moves = described["moves"]
            if moves == "dialogue-acts":
                if described["features"] is not None:
                    raise SettingError("a view of acts has features of its own")
                return DialogueActs()
            if moves is not None:
                kinds: dict[str, type[Moves]] = {"strategy-mix": StrategyMix, "subspace": Subspace}
                moves = kinds[moves["kind"]](**{name: value for name, value in moves.items() if name != "kind"})
            return cls(described["features"], moves)
        except (KeyError, TypeError) as error:
            raise SettingError(f"no view can be built from {described}: {error}") from error

    def _check(self, name: str, access: Any) -> None:
        kind = FEATURES[name].kind
        level = {WhiteBox: "white-box", SoftLabelAccess: "soft-label"}.get(kind, "hard-label")
        require(access, level, f"the feature {name!r}")
        if not isinstance(access, kind):
            raise SettingError(f"the feature {name!r} ({FEATURES[name].about}) does not exist in this game")

    def __repr__(self) -> str:
        return f"View({self.describe()})"
