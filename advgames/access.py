"""What a player may know: access objects grant exactly what the threat model names, and nothing leads beyond."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from advgames import rng
from advgames.errors import AccessError
from advgames.threat import Threat

if TYPE_CHECKING:
    from advgames.games.spaces import Observation, Space

__all__ = ["Access", "Kind", "Order", "PerturbationAccess", "WhiteBox", "require"]

Order = Literal["first", "second", "exact"]
_LEVELS = {"black-box": 0, "hard-label": 0, "soft-label": 1, "white-box": 2}
_KINDS = {"inputs": "perturbs inputs", "dialogue": "negotiates in dialogues", "table": "plays a payoff table"}

Kind = Literal["inputs", "dialogue", "table"]


class Access:
    """Base: the player's name and role, and its own randomness.

    Attributes:
        game: the game's name.
        player: its own.
        sign: +1 where the player wants the utility up, -1 where it wants it down.
        round: rounds played so far.
        horizon: rounds of the match.
        may_mix: whether an action may hold D equally likely draws, (G, D, ...), of a randomised strategy.
        kind: what is played with: perturbations of ``"inputs"``, words of a ``"dialogue"``, or strategies of a
            ``"table"``.
        action_space, observation_space: of one match, for this player.
        level: how much is known.
    """

    kind: ClassVar[Kind]
    level = "hard-label"
    may_mix = False

    def __init__(
        self,
        *,
        game: str,
        player: str,
        sign: float,
        round: int,
        horizon: int,
        seeds: Tensor,
        action_space: Space,
        observation_space: Observation,
    ) -> None:
        self.game = game
        self.player = player
        self.action_space = action_space
        self.observation_space = observation_space
        self.sign = sign
        self.round = round
        self.horizon = horizon
        # Half of a hash: the seeds, and with them the order of the data, do not follow from it (small seeds can be
        # tried one by one: this guards against accidents).
        self._noise_keys = rng.bits(seeds, f"player.{player}", 0, ()) & 0xFFFFFFFF

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers of this player alone, fresh each round, shaped (G, ...) like `like`."""
        return rng.normal(self._noise_keys, "noise", self.round, like.shape[1:], dtype=like.dtype)

    @property
    def noise_seeds(self) -> Tensor:
        """Seeds (G,) for this player's own randomness, fresh each round."""
        return rng.bits(self._noise_keys, "seeds", self.round, ()) & 0x7FFFFFFFFFFFFFFF

    @property
    def match_seeds(self) -> Tensor:
        """Seeds (G,) for this player's own randomness, the same throughout a match."""
        return rng.bits(self._noise_keys, "match", 0, ()) & 0x7FFFFFFFFFFFFFFF

    def pick(self, count: int) -> Tensor:
        """One of `count`, (G,): by this player's randomness, and apart from every other draw of it."""
        return (rng.bits(self._noise_keys, "pick", self.round, ()) & 0x7FFFFFFFFFFFFFFF) % count


class PerturbationAccess(Access):
    """Of games in which players add perturbations to inputs: the rules that these are under.

    Attributes:
        threat: norm and bounds of perturbations.
        input_shape: shape of one input.
        radius: this player's radius, (G,).
        opponent_radius: the other player's radius, (G,).
        shared, opponent_shared: whether this player, or the other, plays one perturbation for all inputs of the
            minibatch, shaped (G, 1, *input_shape), and not one per input.
    """

    kind = "inputs"

    def __init__(
        self,
        *,
        threat: Threat,
        input_shape: tuple[int, ...],
        radius: Tensor,
        opponent_radius: Tensor,
        shared: bool = False,
        opponent_shared: bool = False,
        may_mix: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.threat = threat
        self.input_shape = input_shape
        self.radius = radius
        self.opponent_radius = opponent_radius
        self.shared = shared
        self.opponent_shared = opponent_shared
        self.may_mix = may_mix

    def pool(self, ascent: Tensor) -> Tensor:
        """Directions (G, B, *input_shape) for this player's action: their mean, (G, 1, ...), where it plays one."""
        return ascent.mean(1, keepdim=True) if self.shared else ascent

    def opponent_pool(self, ascent: Tensor) -> Tensor:
        """The same for the other player's action."""
        return ascent.mean(1, keepdim=True) if self.opponent_shared else ascent


class WhiteBox(PerturbationAccess, ABC):
    """Gradients of the game's utility U in the perturbed inputs; U is what the +1 player maximises."""

    level = "white-box"

    @abstractmethod
    def utility_gradient(self, inputs: Tensor, order: Order = "first") -> Tensor:
        """grad_x U at `inputs` (G, B, *input_shape), of that shape, as a player of this order of reasoning sees it."""


def require(access: Access, level: str, who: str, kind: Kind = "inputs") -> None:
    """Refuse a player of another kind of game, or one whose access is below what it needs.

    Raises:
        AccessError: always naming who needs what and what was granted.
    """
    if access.kind != kind:
        raise AccessError(
            f"{who} {_KINDS[kind]}, but {access.player} plays a game in which one {_KINDS[access.kind]}: "
            f"`advgames list agents` says who does"
        )
    if _LEVELS[access.level] < _LEVELS[level]:
        raise AccessError(
            f"{who} needs {level} access, but {access.player} is granted {access.level}: "
            f"see the setting access_{access.player}"
        )
