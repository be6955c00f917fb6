"""The level-k ladder of negotiators: level 0 is supervised, level k answers level k - 1 by reinforcement."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from advgames.agents.negotiators import NeuralNegotiator
from advgames.dialogue.corpus import Corpus
from advgames.equilibrium import EmpiricalGame
from advgames.errors import SettingError
from advgames.games import NegotiationGame
from advgames.training.dialogues import converse
from advgames.training.reinforce import Reinforce, ReinforceRecipe
from advgames.victims.negotiator import Negotiator

__all__ = ["Ladder", "negotiation_ladder"]


@dataclass(frozen=True)
class Ladder:
    """Negotiators by level, and what each pair of them gets from the same scenarios.

    Attributes:
        models: level 0, 1, ...; in evaluation mode.
        game: payoffs of every level in the attacker's seat (rows) against every level in the defender's (columns).
    """

    models: tuple[Negotiator, ...]
    game: EmpiricalGame


def negotiation_ladder(
    game: NegotiationGame,
    supervised: Negotiator,
    levels: int = 2,
    recipe: ReinforceRecipe | None = None,
    corpus: Corpus | None = None,
    seeds: Sequence[int] = range(256),
    told: Callable[[int, Reinforce], object] | None = None,
) -> Ladder:
    """Climb: level k starts from level k - 1's weights and learns against it, frozen; then all pairs play.

    The learner sits in the attacker's seat; with ``game`` adversarial, levels from 1 on are adversaries of the level
    below, and only the table's first column is then the thesis's setting.

    Args:
        game: the dialogue in words, ``actions="tokens"``, ``unit="utterance"``.
        supervised: level 0.
        levels: the highest.
        recipe: how each level learns; None: as the RL negotiator does. Every level has dialogues of its own.
        corpus: for the supervised steps in between.
        seeds: scenarios of the payoff table, the same for all pairs.
        told: called with the level and its training after every batch of dialogues.

    Raises:
        SettingError: fewer than one level.
    """
    if levels < 1:
        raise SettingError(f"a ladder needs at least one level above 0, got {levels}")
    recipe = recipe or ReinforceRecipe()
    models = [copy.deepcopy(supervised).eval().requires_grad_(False)]
    for level in range(1, levels + 1):
        own = replace(recipe, seed=recipe.seed + level - 1)
        learner = Reinforce(game, copy.deepcopy(models[-1]), NeuralNegotiator(models[-1]), own, corpus)
        learner.run(told=None if told is None else functools.partial(told, level))
        models.append(learner.model.eval().requires_grad_(False))
    return Ladder(tuple(models), _table(game, models, seeds))


def _table(game: NegotiationGame, models: Sequence[Negotiator], seeds: Sequence[int]) -> EmpiricalGame:
    names = [f"level-{level}" for level in range(len(models))]
    players = [NeuralNegotiator(model) for model in models]
    own: dict[tuple[str, str], dict[int | str, float]] = {}
    other: dict[tuple[str, str], dict[int | str, float]] = {}
    for row, attacker in zip(names, players, strict=True):
        for column, defender in zip(names, [NeuralNegotiator(model) for model in models], strict=True):
            state = converse(game, {"attacker": attacker, "defender": defender}, seeds)
            for table, side in ((own, 0), (other, 1)):
                table[row, column] = dict(zip(seeds, state.scores[:, side].tolist(), strict=True))
    return EmpiricalGame.from_samples(names, names, own, column_samples=other)
