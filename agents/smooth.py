"""Additive defences: the equilibrium defence SMOOTH, and smoothing by Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from advgames.access import PerturbationAccess
from advgames.agents.sides import Defender
from advgames.errors import SettingError
from advgames.games.perturbation_access import WhiteBoxAccess
from advgames.robust_sets import Maximum, Method, RobustSets, maximise

__all__ = ["GaussianSmoothing", "Smooth"]


class Smooth(Defender):
    """One vector v for every input, the maximiser of phi_n(v) (P2; additive_nash.txt eq. 5-7).

    Together with FGM it is a Nash equilibrium of the game with a locally linear victim (Theorem 1), worth 1 - 2 phi(v*)
    to the attacker. It is found once, at the start of the matches, from inputs that the defender knows.

    Args:
        optimizer: ``"annealed"``, ``"exact"`` or the ``"paper"``'s, see :func:`advgames.robust_sets.maximise`.
        samples: how many known inputs, the first ones; None: all.
        steps: of the ascents.
        time_limit: seconds the exact optimiser may take.

    Attributes:
        found: for each pair of radii (attacker's, defender's) what was found, with its optimality gap.
    """

    needs: ClassVar[str] = "white-box"

    def __init__(
        self, optimizer: Method = "annealed", samples: int | None = 500, steps: int = 150, time_limit: float = 60.0
    ) -> None:
        if optimizer not in get_args(Method):
            raise SettingError(f"optimizer must be one of {', '.join(get_args(Method))}, got {optimizer!r}")
        if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int) or samples < 1):
            raise SettingError(f"samples must be a positive integer or None, got {samples!r}")
        self.optimizer, self.samples, self.steps, self.time_limit = optimizer, samples, steps, time_limit
        self.found: dict[tuple[float, float], Maximum] = {}
        self._solved_for: tuple[object, str] | None = None
        self._sets: RobustSets | None = None
        self._vectors: Tensor | None = None

    def reset(self, access: PerturbationAccess) -> None:
        """Find v for every pair of radii."""
        super().reset(access)
        assert isinstance(access, WhiteBoxAccess)
        if self._solved_for != (access.model, access.threat.norm):  # a new episode of the same game finds the same
            self._solved_for = (access.model, access.threat.norm)
            known = access.known(self.samples)
            self._sets, self.found = RobustSets.from_model(access.model, known, norm=access.threat.norm), {}
        pairs = list(zip(access.opponent_radius.tolist(), access.radius.tolist(), strict=True))
        for pair in dict.fromkeys(pairs):
            if pair not in self.found:
                self.found[pair] = self._maximum(*pair)
        vectors = [self.found[pair].v / pair[1] if pair[1] > 0 else self.found[pair].v for pair in pairs]
        self._vectors = torch.stack(vectors).reshape(-1, 1, *access.input_shape).to(access.radius)

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """v in units of the radius, (G, 1, *input_shape), or for every input where there is one action per input."""
        assert self._vectors is not None, "reset first"
        vectors = access.threat.project(self._vectors)
        return vectors if access.shared else vectors.expand_as(observation["inputs"]).clone()

    def memory(self) -> dict[str, Tensor]:
        """The vectors."""
        return {} if self._vectors is None else {"v": self._vectors.clone()}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take the vectors back."""
        self._vectors = memory.get("v", self._vectors)

    def _maximum(self, attack_radius: float, radius: float) -> Maximum:
        assert self._sets is not None
        options: dict[str, Any] = {"steps": self.steps, "time_limit": self.time_limit}
        return maximise(self._sets, attack_radius, radius, self.optimizer, **options)


class GaussianSmoothing(Defender):
    """Isotropic Gaussian noise within the radius: the smoothing that ignores the victim (additive_nash.txt section 3).

    A randomised strategy: where nobody moves after it, it plays `draws` draws at once and the game pays their mean;
    where it moves first, one draw per input (or per minibatch) and round.

    Args:
        sigma: of the noise's norm, in radii: the noise is N(0, sigma^2 / d) per entry, projected to norm 1.
        draws: how many.
    """

    def __init__(self, sigma: float = 1.0, draws: int = 32) -> None:
        if not 0 < sigma < float("inf"):
            raise SettingError(f"sigma must be positive and finite, got {sigma}")
        if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
            raise SettingError(f"draws must be a positive integer, got {draws!r}")
        self.sigma, self.draws = sigma, draws

    def act(self, observation: Mapping[str, Tensor], access: PerturbationAccess) -> Tensor:
        """Noise in units of the radius, (G, D, 1 or B, *input_shape), or one draw without D."""
        like = access.pool(observation["inputs"])
        draws = self.draws if access.may_mix else 1
        drawn = access.noise(torch.cat([like] * draws, 1)) * (self.sigma / like[0, 0].numel() ** 0.5)
        noise = access.threat.project(drawn)
        return noise.reshape(len(like), draws, *like.shape[1:]) if access.may_mix else noise
