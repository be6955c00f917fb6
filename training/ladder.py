"""The level-k ladder by learning: every level is a best response to the levels below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from advgames.agents import Agent, RLLevelK
from advgames.equilibrium import EmpiricalGame
from advgames.errors import SettingError
from advgames.games import Game
from advgames.training.best_response import LearningRecipe
from advgames.training.population import (
    Gains,
    Population,
    Recipes,
    Told,
    by_player,
    level_zero,
    own_seed,
    response,
    solvable,
    without_curves,
)

__all__ = ["Ladder", "ladder"]

PPO = LearningRecipe()


@dataclass(frozen=True)
class Ladder:
    """Players by level, and what every level gets against every other.

    Attributes:
        agents: of each player, level 0, 1, ...
        game: payoffs of all pairs on the same matches.
        answered: of each player and each level from 1 on, the weights of the other's levels that it answers.
        exploitability: of each level's pair, what fresh best responses with a budget of their own gained against it;
            None: it was not asked for.
    """

    agents: Mapping[str, Sequence[Agent]]
    game: EmpiricalGame
    answered: Mapping[str, Sequence[Mapping[str, float]]]
    exploitability: Sequence[Gains] | None = None


def ladder(
    game: Game[Any],
    levels: int = 3,
    response_to: str = "previous",
    *,
    recipe: Recipes = PPO,
    start: Mapping[str, str | Agent] | None = None,
    warm: bool = False,
    seeds: int | Sequence[int] = 256,
    exploiter: Recipes | None = None,
    exploiters: int = 1,
    out: str | Path | None = None,
    told: Told | None = None,
) -> Ladder:
    """Climb: at each level both players learn to answer the other's levels below, frozen; then all pairs play.

    Args:
        game: the rules; two players.
        levels: the highest.
        response_to: what level k answers: the ``"previous"`` level; a ``"poisson"`` mixture of all below (the cognitive
            hierarchy); their ``"uniform"`` average (fictitious self-play); their ``"nash"`` mixture (PSRO), or the
            average of ``"replicator"`` dynamics.
        recipe: how each level learns, or how each player does. Every level and player has a seed of its own.
        start: who plays level 0; default: the game's own (:attr:`~advgames.games.Game.level_0`).
        warm: begin with the weights of the level below, where that was learned.
        seeds: matches by which levels are compared, or how many.
        exploiter: how fresh best responses to each level learn; None: exploitability is not measured.
        exploiters: how many of them learn for each player and level; the best one counts, chosen on half of the matches
            and measured on the others.
        out: folder that keeps every level and payoff as it comes: the same call goes on where it was stopped, and ends
            with the same ladder.
        told: called with the name of what learns, its steps so far and its payoff of late.

    Raises:
        SettingError, UnknownNameError, AccessError: before anything is trained, see
            :func:`~advgames.training.best_response`.
        SettingError: later, if a learner fails by its options; then a folder in which nobody has learned is free again.
        DataFileError: the folder holds another ladder.
    """
    if min(levels, exploiters) < 1:
        raise SettingError(f"levels and exploiters must be positive, got {levels} and {exploiters}")
    answer = response(response_to)
    recipes = by_player(game, recipe, "recipe")
    measures = None if exploiter is None else by_player(game, exploiter, "exploiter")
    first = level_zero(game, start)
    solvable(game, response_to)
    people = Population(game, seeds, out)
    answered: dict[str, list[dict[str, float]]] = {player: [] for player in game.players}
    for player, agent in first.items():
        people.add(player, "level-0", agent)
    people.check(recipes)
    if measures is not None:
        people.check(measures)
    people.open(repr(("ladder", response_to, without_curves(recipes), without_curves(measures), first, warm)))
    for level in range(1, levels + 1):
        mixes = answer(people.table())
        learned = {}
        for side, player in enumerate(game.players):
            other = game.players[1 - side]
            weights = dict(zip(people.agents[other], mixes[1 - side].tolist(), strict=True))
            answered[player].append({name: weight for name, weight in weights.items() if weight > 0})
            last = list(people.agents[player].values())[-1]
            own = replace(recipes[player], seed=own_seed(recipes[player].seed, level, side))
            if warm and isinstance(last, RLLevelK):
                own = replace(own, start=last)
            learned[player] = people.learn(f"level-{level}-{player}", player, weights, own, level, told)
        for player, agent in learned.items():
            people.add(player, f"level-{level}", agent)
    found = None
    if measures is not None:
        found = [_exploited(people, level, measures, exploiters, told) for level in range(levels + 1)]
    agents = {player: list(named.values()) for player, named in people.agents.items()}
    return Ladder(agents, people.table(), answered, found)


def _exploited(
    people: Population, level: int, recipes: Mapping[str, LearningRecipe], count: int, told: Told | None
) -> Gains:
    """What fresh best responses gain against a level's pair."""
    name, gains, intervals, budget = f"level-{level}", dict[str, float](), dict[str, float](), dict[str, int]()
    for side, player in enumerate(people.game.players):
        tried = dict[str, RLLevelK]()
        for n in range(count):
            recipe = replace(recipes[player], seed=own_seed(recipes[player].seed, level, 2 + side + 2 * n))
            reply = f"exploits-{name}-{n}"
            tried[reply] = people.learn(f"{reply}-{player}", player, {name: 1.0}, recipe, level + 1, told)
            people.add(player, reply, tried[reply])
        _, gains[player], intervals[player] = people.gain(player, list(tried), {name: 1.0}, {name: 1.0})
        budget[player] = sum(agent.manifest.steps for agent in tried.values())
        for reply in tried:
            people.drop(player, reply)
    return Gains(gains, intervals, budget)
