"""Double oracle by learning (PSRO): a table of players that grows by learned and given best replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from advgames.agents import Agent, make_agent
from advgames.equilibrium import EmpiricalGame
from advgames.errors import SettingError
from advgames.games import Game
from advgames.training.best_response import LearningRecipe
from advgames.training.matches import known_players
from advgames.training.population import (
    Gains,
    Mix,
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

__all__ = ["OracleRun", "OracleStep", "double_oracle"]

StopReason = Literal["tolerance", "no-new-reply", "max-iterations"]


@dataclass(frozen=True)
class OracleStep(Gains):
    """One iteration: the mixes over the players so far, and what the best replies to them gain.

    Where there are several replies, gains are measured on other matches than those by which the best was chosen.

    Attributes:
        iteration: from 1.
        mixes: of each player, the weights of all its strategies in the table.
        values: what the mixes pay each player.
        replies: the best reply found for each player.
    """

    iteration: int
    mixes: Mapping[str, Mapping[str, float]]
    values: Mapping[str, float]
    replies: Mapping[str, str]


@dataclass(frozen=True)
class OracleRun:
    """What double oracle came to.

    Attributes:
        game: payoffs of the strategies of the last step.
        population: everybody, the last replies too, and what every pair pays.
        history: the steps.
        reason: ``"tolerance"``: nobody gains more than that; ``"no-new-reply"``: somebody does, by a reply that is in
            the table already (where the solver does not play Nash); ``"max-iterations"``: there may be more.
    """

    game: EmpiricalGame
    population: Population
    history: Sequence[OracleStep]
    reason: StopReason

    def mix(self, player: str) -> Agent:
        """A player's mix at the end, as an agent."""
        return self.population.pool(player, self.history[-1].mixes[player])


def double_oracle(
    game: Game[Any],
    *,
    recipe: Recipes | None = None,
    replies: Mapping[str, Sequence[str | Agent]] | None = None,
    solver: str = "nash",
    start: Mapping[str, str | Agent] | None = None,
    max_iterations: int = 10,
    tolerance: float = 1e-3,
    patience: int = 1,
    seeds: int | Sequence[int] = 256,
    out: str | Path | None = None,
    told: Told | None = None,
    progress: Callable[[OracleStep], object] | None = None,
) -> OracleRun:
    """Solve the table of the players so far, answer the mixes, add the answers, and again (Lanctot et al. 2017, PSRO).

    A reply is the best of a policy that learns to answer the other player's mix and of given agents, such as gradient
    attacks.

    Args:
        game: the rules; two players.
        recipe: how replies learn, or how each player's do; None: nothing is learned.
        replies: agents of each player that may be replies too.
        solver: of the table: ``"nash"`` (constant-sum games), ``"uniform"``, ``"replicator"``, or another of
            :data:`~advgames.training.population.RESPONSES`.
        start: each player's first strategy; default: level 0.
        max_iterations: at most.
        tolerance: of both players' gains, in the payoffs' unit.
        patience: for how many iterations on end nobody may gain more than that, or nobody by a new reply, before it
            ends: learned replies, each of a seed of its own, now and then miss what there is to gain.
        seeds: matches of every pair, or how many.
        out: folder that keeps every learned reply and payoff as it comes: the same call goes on where it was stopped,
            and ends with the same result.
        told: called with what learns, its steps so far and its payoff of late.
        progress: called with each step.

    Raises:
        SettingError, UnknownNameError, AccessError: before anything is trained.
        SettingError: later, if a learner fails by its options; then a folder in which nobody has learned is free again.
        DataFileError: the folder holds something else.
    """
    if min(max_iterations, patience) < 1 or not tolerance >= 0:
        raise SettingError(
            f"max_iterations and patience must be positive, tolerance not negative, got {max_iterations}, {patience}, "
            f"{tolerance}"
        )
    solve = response(solver, "solver")
    recipes = None if recipe is None else by_player(game, recipe, "recipe")
    first, given = level_zero(game, start), _given(game, replies or {})
    if recipes is None and (without := [player for player, agents in given.items() if not agents]):
        raise SettingError(f"there are no replies of the {without[0]}: give some, or a recipe to learn them by")
    solvable(game, solver)
    people = Population(game, seeds, out)
    table = {player: ["start"] for player in game.players}
    for player in game.players:
        for name, agent in {"start": first[player], **given[player]}.items():
            people.add(player, name, agent)
    if recipes is not None:
        people.check(recipes)
    people.open(repr(("double oracle", solver, without_curves(recipes), first, given, tolerance)))
    history: list[OracleStep] = []
    reason: StopReason = "max-iterations"
    barren = 0  # iterations on end that brought no new reply
    for iteration in range(1, max_iterations + 1):
        payoffs = people.table(*table.values())
        step = _step(people, payoffs, solve(payoffs), iteration, recipes, given, told, solver == "nash")
        history.append(step)
        if progress is not None:
            progress(step)
        new = {p: name for p, name in step.replies.items() if step.gains[p] > tolerance and name not in table[p]}
        barren = 0 if new else barren + 1
        if barren >= patience:
            gaining = any(max(last.gains.values()) > tolerance for last in history[-patience:])
            reason = "no-new-reply" if gaining else "tolerance"
        if reason != "max-iterations" or iteration == max_iterations:
            break
        for player, name in new.items():
            table[player].append(name)
    return OracleRun(payoffs, people, history, reason)


def _step(
    people: Population,
    payoffs: EmpiricalGame,
    mixes: tuple[Mix, Mix],
    iteration: int,
    recipes: Mapping[str, LearningRecipe] | None,
    given: Mapping[str, Mapping[str, Agent]],
    told: Told | None,
    solved: bool,
) -> OracleStep:
    """The best replies to the mixes over a table; where it is `solved`, nothing in it gains, and only others count."""
    first, second = people.game.players
    weights = {
        player: dict(zip(names, mix.tolist(), strict=True))
        for player, names, mix in zip((first, second), (payoffs.rows, payoffs.columns), mixes, strict=True)
    }
    values, replies = dict[str, float](), dict[str, str]()
    gains, intervals, budget = dict[str, float](), dict[str, float](), dict.fromkeys(people.game.players, 0)
    for side, (player, other) in enumerate(((first, second), (second, first))):
        tried = list(given[player])
        if recipes is not None:
            name = f"reply-{iteration}"
            recipe = replace(recipes[player], seed=own_seed(recipes[player].seed, iteration, side))
            reply = people.learn(f"{name}-{player}", player, weights[other], recipe, iteration, told)
            people.add(player, name, reply)
            tried.append(name)
            budget[player] = reply.manifest.steps
        values[player] = float(mixes[0] @ (payoffs.payoff, payoffs.column_payoff)[side] @ mixes[1])
        tried = [name for name in tried if not (solved and name in weights[player])]
        none = max(weights[player], key=lambda name: weights[player][name]), 0.0, 0.0
        found = people.gain(player, tried, weights[player], weights[other]) if tried else none
        replies[player], gains[player], intervals[player] = found
    return OracleStep(gains, intervals, budget, iteration, weights, values, replies)


def _given(game: Game[Any], replies: Mapping[str, Sequence[str | Agent]]) -> dict[str, dict[str, Agent]]:
    """Each player's given replies by name."""
    known_players(game, replies, "replies")
    for player, agents in replies.items():
        if not isinstance(agents, Sequence) or isinstance(agents, str):
            raise SettingError(f"replies of the {player} are a list of agents, got {agents!r}")
    made = {player: [make_agent(agent) for agent in replies.get(player, ())] for player in game.players}
    named = {player: {repr(agent): agent for agent in agents} for player, agents in made.items()}
    for player, agents in made.items():
        if len(named[player]) < len(agents):
            raise SettingError(f"replies: one of the {player}'s is given twice: {agents}")
    return named
