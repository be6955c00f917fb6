"""Populations: the players of both seats so far, and what every pair of them pays; played once, kept, grown."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from advgames import rng
from advgames.agents import Agent, Pool, RLLevelK, make_agent
from advgames.equilibrium import EmpiricalGame
from advgames.equilibrium.samples import CellSamples, Pair
from advgames.errors import AdvgamesError, DataFileError, SettingError, UnknownNameError
from advgames.files import drop_cut_line, whole_lines, write_whole
from advgames.games import Game
from advgames.tasks import Split
from advgames.tasks.trained import digest
from advgames.training.best_response import LearningRecipe, respond, try_learning, try_out
from advgames.training.matches import known_players, match_seeds, payoffs
from advgames.victims.fixed import FixedVictim

__all__ = [
    "RESPONSES",
    "Gains",
    "Population",
    "Recipes",
    "Response",
    "Told",
    "by_player",
    "level_zero",
    "own_seed",
    "response",
    "solvable",
    "without_curves",
]

Mix = NDArray[np.float64]
Response = Callable[[EmpiricalGame], tuple[Mix, Mix]]
Recipes = LearningRecipe | Mapping[str, LearningRecipe]
Told = Callable[[str, int, float], object]  # of what learns, its steps so far, and its payoff of late


@dataclass(frozen=True)
class Gains:
    """What replies to a pair of players gain, in the mean over matches that both play.

    Attributes:
        gains: of each player.
        intervals: half the 95 % intervals of these.
        budget: decisions that each player's learned replies took to learn.
    """

    gains: Mapping[str, float]
    intervals: Mapping[str, float]
    budget: Mapping[str, int]

    @property
    def exploitability(self) -> float:
        """The sum of the gains, those below 0 left out (NashConv): an estimate, too low where replies are not the best
        there are, too high by chance (see the intervals)."""
        return sum(max(gain, 0.0) for gain in self.gains.values())


class Population:
    """Named agents of a game's two players, and the payoffs of all pairs on the same matches.

    Args:
        game: the rules; two players.
        seeds: matches of every pair, or how many.
        out: folder that keeps learned players and payoffs; what is there already is not made again. None: nothing is
            kept.
        batch: matches at once.
    """

    def __init__(
        self,
        game: Game[Any],
        seeds: int | Sequence[int],
        out: str | Path | None = None,
        batch: int = 256,
    ) -> None:
        if len(game.players) != 2:
            raise SettingError(f"a population has two players, {game.name} has {len(game.players)}")
        self.game, self.batch = game, batch
        self.seeds = match_seeds(seeds)
        self.out = None if out is None else Path(out)
        self.agents: dict[str, dict[str, Agent]] = {player: {} for player in game.players}
        self._paid: dict[tuple[str, str], tuple[list[float], list[float]]] = {}

    def check(self, recipes: Mapping[str, LearningRecipe]) -> None:
        """Whether all strategies can be played, and everybody with a recipe can learn against them, before anything is.

        Raises:
            UnknownNameError, SettingError, AccessError, UnsupportedFormError, MissingExtraError: somebody cannot.
        """
        for player, other in zip(self.game.players, reversed(self.game.players), strict=True):
            strategies = list(self.agents[other].values())
            if player in recipes:
                try_learning(self.game, player, {other: strategies.pop(0)}, recipes[player])
            for agent in strategies:
                try_out(self.game, {other: agent})

    def open(self, what: str) -> None:
        """Claim the folder, or go on with it.

        Args:
            what: what the population follows from, beside game and matches: a folder of another one is refused.

        Raises:
            DataFileError: the folder is of another population, or damaged.
        """
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            self._open(self.out, what)

    def add(self, player: str, name: str, agent: Agent) -> None:
        """A new strategy of a player."""
        if name in self.agents[player]:
            raise SettingError(f"the {player} has a strategy {name!r} already")
        self.agents[player][name] = agent

    def drop(self, player: str, name: str) -> None:
        """A strategy leaves; what it was paid stays known."""
        del self.agents[player][name]

    def learn(
        self,
        file: str,
        player: str,
        weights: Mapping[str, float],
        recipe: LearningRecipe,
        level: int,
        told: Told | None = None,
    ) -> RLLevelK:
        """A best response to a mix of the other player's strategies: read if the folder has it, else trained and kept.

        It is not added to the population.

        Args:
            file: its name in the folder.
            weights: of the other player's strategies.
            recipe, level: as in :func:`~advgames.training.best_response`.
            told: called with the file's name, steps and payoffs.

        Raises:
            SettingError: learning failed; a folder in which nobody has learned is given up.
        """
        path = None if self.out is None else self.out / f"{file}.safetensors"
        if path is not None and path.exists():
            return RLLevelK.load(path)

        def heard(steps: int, paid: float) -> None:
            if told is not None:
                told(file, steps, paid)

        other = self.game.players[1 - self.game.players.index(player)]
        if recipe.tensorboard is not None:
            recipe = replace(recipe, tensorboard=f"{recipe.tensorboard}/{file}")
        try:
            agent = respond(self.game, player, {other: self.pool(other, weights)}, recipe, level, heard)
        except AdvgamesError:
            self._leave()
            raise
        return agent if path is None else RLLevelK.load(agent.save(path))  # as it will be read when this goes on

    def paid(self, row: str, column: str) -> tuple[list[float], list[float]]:
        """What both players are paid in every match of a pair, played now if it was not."""
        key = row, column
        if key not in self._paid:
            first, second = self.game.players
            pair = {first: self.agents[first][row], second: self.agents[second][column]}
            found = payoffs(self.game, pair, self.seeds, self.batch)
            self._paid[key] = found[first].tolist(), found[second].tolist()
            if self.out is not None:
                line = {"row": row, "column": column, "paid": self._paid[key]}
                with (self.out / _PAID).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        return self._paid[key]

    def series(self, player: str, own: Mapping[str, float], other: Mapping[str, float]) -> Mix:
        """What a mix pays its player in every match, in expectation over both mixes, (N,)."""
        side, total = self.game.players.index(player), np.zeros(len(self.seeds))
        for (name, weight), (opponent, share) in itertools.product(own.items(), other.items()):
            if weight * share:
                pair = (name, opponent) if side == 0 else (opponent, name)
                total += weight * share * np.array(self.paid(*pair)[side])
        return total

    def gain(
        self, player: str, replies: Sequence[str], own: Mapping[str, float], other: Mapping[str, float]
    ) -> tuple[str, float, float]:
        """(the best of some replies to the other's mix, what it gains over one's own mix, half its 95 % interval).

        The gain is a mean of differences between the same matches. Where there are several replies, the best one is
        chosen on the matches at even places and measured at the odd ones.
        """
        gains = {name: self.series(player, {name: 1.0}, other) - self.series(player, own, other) for name in replies}
        several = len(replies) > 1 and len(self.seeds) > 1
        best = max(gains, key=lambda name: float(gains[name][:: 2 if several else 1].mean()))
        left = gains[best][1::2] if several else gains[best]
        half = 1.96 * float(left.std(ddof=1)) / len(left) ** 0.5 if len(left) > 1 else math.nan
        return best, float(left.mean()), half

    def table(self, rows: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> EmpiricalGame:
        """The payoffs of all pairs, or of some."""
        first, second = self.game.players
        rows = list(self.agents[first]) if rows is None else rows
        columns = list(self.agents[second]) if columns is None else columns
        own, other = dict[Pair, CellSamples](), dict[Pair, CellSamples]()
        for pair in itertools.product(rows, columns):
            for samples, paid in zip((own, other), self.paid(*pair), strict=True):
                samples[pair] = dict(zip(self.seeds, paid, strict=True))
        zero_sum = all(-a == b for pair in own for a, b in zip(*self.paid(*pair), strict=True))
        return EmpiricalGame.from_samples(rows, columns, own, (first, second), None if zero_sum else other)

    def pool(self, player: str, weights: Mapping[str, float]) -> Agent:
        """A player's mix of strategies by name; an agent alone where it has all the weight."""
        names = [name for name, weight in weights.items() if weight > 0]
        agents = [self.agents[player][name] for name in names]
        return agents[0] if len(agents) == 1 else Pool(agents, [weights[name] for name in names])

    def _leave(self) -> None:
        """Give up the folder, if nobody has learned yet: what was wrong can be mended, and the call made again."""
        if self.out is not None and not any(self.out.glob("*.safetensors")):
            for name in (_SPEC, _PAID):
                (self.out / name).unlink(missing_ok=True)

    def _open(self, out: Path, what: str) -> None:
        spec, file = out / _SPEC, out / _PAID
        told = {"game": _described(self.game, self.seeds), "what": what, "seeds": self.seeds}
        if not spec.exists():
            write_whole(spec, json.dumps(told, indent=1) + "\n")
        kept = _read(spec)
        if differing := [_MEANT[name] for name, value in told.items() if kept.get(name) != value]:
            raise DataFileError(
                f"{out}: the folder holds another training (other {', '.join(differing)}); take another folder, or "
                "delete it"
            )
        drop_cut_line(file)
        try:
            for text in whole_lines(file):
                line = json.loads(text)
                own, other = line["paid"]
                if not len(own) == len(other) == len(self.seeds):
                    raise ValueError(f"{len(own)} payoffs for {len(self.seeds)} matches")
                self._paid[line["row"], line["column"]] = own, other
        except (ValueError, LookupError, TypeError) as error:
            raise DataFileError(f"{file}: {error}; delete it, and its pairs are played again") from error


_SPEC, _PAID = "population.json", "payoffs.jsonl"
_AT_ONCE = 256  # matches
_MEANT = {"game": "game or data", "what": "method, players or options", "seeds": "matches"}


def _read(spec: Path) -> dict[str, Any]:
    try:
        kept = json.loads(spec.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataFileError(f"{spec}: {error}; take another folder, or delete it") from error
    return kept if isinstance(kept, dict) else {}


def _previous(game: EmpiricalGame) -> tuple[Mix, Mix]:
    """The last strategy of each player: level k answers level k - 1."""
    m, n = game.shape
    return np.eye(m)[-1], np.eye(n)[-1]


def _uniform(game: EmpiricalGame) -> tuple[Mix, Mix]:
    """All strategies alike: fictitious self-play (Heinrich, Lanctot & Silver 2015)."""
    m, n = game.shape
    return np.full(m, 1 / m), np.full(n, 1 / n)


def _poisson(game: EmpiricalGame, mean: float = 1.5) -> tuple[Mix, Mix]:
    """Level j by Poisson weights of mean 1.5, cut off: the cognitive hierarchy (Camerer, Ho & Chong 2004)."""

    def weights(count: int) -> Mix:
        chances: Mix = np.array([mean**level / math.factorial(level) for level in range(count)])
        return np.asarray(chances / chances.sum())

    m, n = game.shape
    return weights(m), weights(n)


def _nash(game: EmpiricalGame) -> tuple[Mix, Mix]:
    """A Nash equilibrium of the table (PSRO, Lanctot et al. 2017); constant-sum games only."""
    found = game.nash()
    return found.row, found.column


def _replicator(game: EmpiricalGame, steps: int = 20_000, rate: float = 0.05) -> tuple[Mix, Mix]:
    """The average of replicator dynamics from the even mixes, on payoffs scaled to their range."""
    (x, y), (a, b) = _uniform(game), (game.payoff, game.column_payoff)
    scale = rate / max(float(np.ptp(a)), float(np.ptp(b)), 1e-12)
    sums = np.zeros_like(x), np.zeros_like(y)
    for _ in range(steps):
        gains = a @ y, x @ b
        x, y = (mix * np.exp(scale * (gain - gain.max())) for mix, gain in zip((x, y), gains, strict=True))
        x, y = x / x.sum(), y / y.sum()
        sums[0].__iadd__(x)
        sums[1].__iadd__(y)
    return sums[0] / steps, sums[1] / steps


RESPONSES: dict[str, Response] = {
    "previous": _previous,
    "poisson": _poisson,
    "uniform": _uniform,
    "nash": _nash,
    "replicator": _replicator,
}


def response(name: str, what: str = "response") -> Response:
    """What the next strategies answer, by name; `what` is how errors call it.

    Raises:
        UnknownNameError: no such response.
    """
    if name not in RESPONSES:
        raise UnknownNameError(what, name, RESPONSES)
    return RESPONSES[name]


def by_player(game: Game[Any], recipe: Recipes, what: str) -> dict[str, LearningRecipe]:
    """A recipe for each player.

    Raises:
        UnknownNameError: no such player.
        SettingError: one is missing.
    """
    if isinstance(recipe, LearningRecipe):
        return dict.fromkeys(game.players, recipe)
    if not isinstance(recipe, Mapping):
        raise SettingError(f"{what} must be a LearningRecipe, or one for each player, got {recipe!r}")
    known_players(game, recipe, what)
    if wrong := [player for player, own in recipe.items() if not isinstance(own, LearningRecipe)]:
        raise SettingError(f"{what} of the {wrong[0]} must be a LearningRecipe, got {recipe[wrong[0]]!r}")
    if missing := [player for player in game.players if player not in recipe]:
        raise SettingError(f"{what}: there is none for {', '.join(missing)}")
    return dict(recipe)


def level_zero(game: Game[Any], start: Mapping[str, str | Agent] | None) -> dict[str, Agent]:
    """Who plays level 0 in each seat.

    Raises:
        UnknownNameError: no such player or agent.
    """
    if not isinstance(start, Mapping | None):
        raise SettingError(f"start maps players to agents, such as {{{game.players[0]!r}: 'mix'}}, got {start!r}")
    known_players(game, start or (), "start")
    given = dict.fromkeys(game.players, game.level_0) | dict(start or {})
    return {player: make_agent(agent) for player, agent in given.items()}


def without_curves(recipes: Mapping[str, LearningRecipe] | None) -> Mapping[str, LearningRecipe] | None:
    """Recipes as they count for what is learned: where their curves are drawn does not."""
    return (
        None if recipes is None else {player: replace(recipe, tensorboard=None) for player, recipe in recipes.items()}
    )


def own_seed(base: int, number: int, stream: int) -> int:
    """A seed of its own for every learner, hashed from a recipe's."""
    return int(rng.bits(rng.seed_tensor([base]), f"population.{stream}", number, ())) & (2**31 - 1)


def solvable(game: Game[Any], solver: str) -> None:
    """Refuse a solver of tables that add up to a constant, where payoffs do not.

    Raises:
        SettingError: always naming what there is instead.
    """
    if solver == "nash" and not game.zero_sum:
        raise SettingError(f"'nash' needs a zero-sum game, and {game.name} is none with these settings: 'replicator'")


def _described(game: Game[Any], seeds: Sequence[int]) -> str:
    """Everything that decides what players of a game are paid in these matches."""
    task, settings = (getattr(game, name, None) for name in ("task", "settings"))
    drawn = ""  # what matches draw at the beginning: scenarios, a victim's weights
    for first in range(0, len(seeds), _AT_ONCE):
        begun = game.reset(seeds[first : first + _AT_ONCE]).to_dict()
        drawn = digest(drawn, [(name, value.cpu()) for name, value in begun.items() if isinstance(value, Tensor)])
    parts = list[tuple[str, Tensor]]()
    if isinstance(table := getattr(game, "table", None), Tensor):
        parts.append(("table", table))
    for name in ("train", "validation", "test"):
        if isinstance(split := getattr(task, name, None), Split):
            parts += [(name, split.inputs), (name, split.labels)]
    victim = getattr(game, "victim", None)
    if isinstance(victim, FixedVictim):
        parts += list(victim.weights().items())
    contents = digest(drawn, [(name, tensor.cpu()) for name, tensor in parts])
    where = f"{game.dtype}, {game.device.type}"
    return f"{game.name} on {getattr(task, 'name', None)!r} with {settings!r}, {where}, {contents}"
