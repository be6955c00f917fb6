"""Trainings from YAML: a best response, a ladder or a double oracle, into a folder that goes on where it stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, PrivateAttr, model_validator

from advgames.agents import View
from advgames.equilibrium import EmpiricalGame
from advgames.errors import SettingError
from advgames.files import write_whole
from advgames.games import make_game
from advgames.settings import Settings, parse
from advgames.spec import read_yaml
from advgames.training.best_response import LearningRecipe
from advgames.training.double_oracle import OracleStep, double_oracle
from advgames.training.ladder import ladder
from advgames.training.play import usable_device
from advgames.training.population import Gains, Population, Told, level_zero, without_curves

__all__ = ["LearnerSpec", "TrainSpec", "Trained", "train"]


class LearnerSpec(Settings):
    """How a player learns, as :class:`~advgames.training.LearningRecipe`; `view` as :meth:`View.describe` tells it."""

    algorithm: str = "PPO"
    steps: PositiveInt = 100_000
    num_games: PositiveInt = 64
    seed: NonNegativeInt = 0
    net: tuple[PositiveInt, ...] = (64, 64)
    options: dict[str, Any] = Field(default_factory=dict)
    view: dict[str, Any] | None = None
    images: bool = False

    def recipe(self, tensorboard: str | None = None) -> LearningRecipe:
        """The recipe.

        Raises:
            UnknownNameError, SettingError: no such algorithm, or no such view.
        """
        given = self.model_dump(exclude={"view"})
        view = None if self.view is None else View.build({"features": None, "moves": None, **self.view})
        return LearningRecipe(**given, view=view, tensorboard=tensorboard)


#: fields that belong to one method only
_OWN = {
    "best-response": ("role",),
    "ladder": ("levels", "response", "warm", "exploiters", "exploiter"),
    "double-oracle": ("solver", "iterations", "tolerance", "patience", "replies"),
}


class TrainSpec(Settings):
    """A training.

    Attributes:
        method: ``"ladder"`` or ``"double-oracle"``; or ``"best-response"`` of `role` to the others' level 0.
        game, task, settings, dtype, device: what is played, and where.
        learner: how everybody learns.
        learners: how single players do, in its place.
        start: who plays level 0, by player; default: the game's own.
        seeds: matches by which players are compared.
        role: who answers, in a best response.
        levels, response, warm: of a ladder.
        exploiters: how many fresh best responses learn, for each player, against each level of a ladder; 0: its
            exploitability is not measured.
        exploiter: how these learn; None: as the player's levels do.
        solver, iterations, tolerance, patience, replies: of double oracle.
        tensorboard: whether to write learning curves into the folder.
    """

    method: Literal["best-response", "ladder", "double-oracle"]
    game: str
    task: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "cpu"
    learner: LearnerSpec = LearnerSpec()
    learners: dict[str, LearnerSpec] = Field(default_factory=dict)
    start: dict[str, str] = Field(default_factory=dict)
    seeds: PositiveInt = 256
    role: str | None = None
    levels: PositiveInt = 3
    response: str = "previous"
    warm: bool = False
    exploiters: NonNegativeInt = 0
    exploiter: LearnerSpec | None = None
    solver: str = "nash"
    iterations: PositiveInt = 10
    tolerance: NonNegativeFloat = 1e-3
    patience: PositiveInt = 1
    replies: dict[str, list[str]] = Field(default_factory=dict)
    tensorboard: bool = False

    @model_validator(mode="after")
    def _of_one_method(self) -> TrainSpec:
        for method, names in _OWN.items():
            for name in names if method != self.method else ():
                if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                    raise ValueError(f"{name!r} is a field of the method {method}, not of {self.method}")
        if self.exploiter is not None and not self.exploiters:
            raise ValueError("'exploiter' says how they learn, and 'exploiters' that there are none")
        return self

    @classmethod
    def from_yaml(cls, path: str | Path) -> TrainSpec:
        """The training a YAML file describes.

        Raises:
            ConfigError: the file is missing or no YAML mapping.
            UnknownNameError, SettingError: a field nobody knows, or a value outside its domain.
        """
        return parse(cls, read_yaml(path), str(path))


class Trained(Settings):
    """What came of a training, as ``result.json`` holds it.

    Attributes:
        method: as in the spec.
        players: the row and the column player.
        rows, columns: the strategies of the table.
        payoff, column_payoff: mean payoffs of all pairs.
        exploitability: of each level, or of each iteration's mixes: what both players' replies gain, an estimate.
        gains, intervals, budget: each player's part of it, half the 95 % interval (None: too few matches), and the
            decisions that the learned replies took to learn.
        mixes: of double oracle, the last mixes.
        reason: why double oracle ended.
    """

    method: str
    players: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    payoff: list[list[float]]
    column_payoff: list[list[float]]
    exploitability: list[float] = Field(default_factory=list)
    gains: list[dict[str, float]] = Field(default_factory=list)
    intervals: list[dict[str, float | None]] = Field(default_factory=list)
    budget: list[dict[str, int]] = Field(default_factory=list)
    mixes: dict[str, dict[str, float]] = Field(default_factory=dict)
    reason: str = ""
    _game: EmpiricalGame | None = PrivateAttr(None)

    def table(self) -> EmpiricalGame:
        """The payoffs as a game: a sample per match after a training, and only the means when read from a file."""
        if self._game is not None:
            return self._game
        return EmpiricalGame.from_matrix(self.payoff, self.column_payoff, self.rows, self.columns, self.players)


def train(
    spec: TrainSpec | str | Path, out: str | Path, *, data_root: str | None = None, told: Told | None = None
) -> Trained:
    """Train as a spec says, into a folder: ``*.safetensors`` the players, ``result.json`` what came of it.

    Called again with the same spec it goes on where it was stopped, and ends with the same result.

    Args:
        spec: the training, or its YAML file.
        out: the folder.
        data_root: folder of data files for tasks that need them.
        told: called with what learns, its steps so far and its payoff of late; and with ``"iteration N"`` or so, the
            number of strategies, and the exploitability found.

    Raises:
        ConfigError, SettingError, UnknownNameError, AccessError: before anything is trained.
        SettingError: later, if a learner fails by its options; then a folder in which nobody has learned is free again.
        DataFileError: the folder holds another training.
    """
    if not isinstance(spec, TrainSpec):
        spec = TrainSpec.from_yaml(spec)
    folder = Path(out)
    where: dict[str, Any] = {"device": usable_device(spec.device), "dtype": spec.dtype, "data_root": data_root}
    game = make_game(spec.game, spec.task, settings=spec.settings, **where)
    curves = str(folder / "tensorboard") if spec.tensorboard else None
    recipe = {player: spec.learners.get(player, spec.learner).recipe(curves) for player in game.players}
    if unknown := sorted(set(spec.learners) - set(game.players)):
        raise SettingError(f"learners: {unknown[0]!r} is none of the players {', '.join(game.players)}")
    common: dict[str, Any] = {"start": spec.start, "seeds": spec.seeds, "out": folder, "told": told}
    found: dict[str, Any] = {}
    gained: Sequence[Gains]
    if spec.method == "ladder":
        exploiter = recipe if spec.exploiter is None else spec.exploiter.recipe(curves)
        climbed = ladder(
            game,
            spec.levels,
            spec.response,
            recipe=recipe,
            warm=spec.warm,
            exploiter=exploiter if spec.exploiters else None,
            exploiters=spec.exploiters or 1,
            **common,
        )
        table, gained = climbed.game, climbed.exploitability or ()
    elif spec.method == "double-oracle":

        def stepped(step: OracleStep) -> None:
            if told is not None:
                told(f"iteration {step.iteration}", sum(map(len, step.mixes.values())), step.exploitability)

        run = double_oracle(
            game,
            recipe=recipe,
            replies=spec.replies,
            solver=spec.solver,
            max_iterations=spec.iterations,
            tolerance=spec.tolerance,
            patience=spec.patience,
            progress=stepped,
            **common,
        )
        table, gained, found["reason"] = run.game, run.history, run.reason
        found["mixes"] = {player: dict(mix) for player, mix in run.history[-1].mixes.items()}
    else:
        table, gained = _answered(game, spec, recipe, folder, told), ()
    result = Trained(
        method=spec.method,
        players=table.players,
        rows=table.rows,
        columns=table.columns,
        payoff=table.payoff.tolist(),
        column_payoff=table.column_payoff.tolist(),
        exploitability=[each.exploitability for each in gained],
        gains=[dict(each.gains) for each in gained],
        intervals=[{p: None if math.isnan(half) else half for p, half in each.intervals.items()} for each in gained],
        budget=[dict(each.budget) for each in gained],
        **found,
    )
    result._game = table
    write_whole(folder / "result.json", json.dumps(result.model_dump(mode="json"), indent=1) + "\n")
    return result


def _answered(
    game: Any, spec: TrainSpec, recipe: Mapping[str, LearningRecipe], folder: Path, told: Told | None
) -> EmpiricalGame:
    """A best response to the others' level 0, and what everybody is paid then."""
    role = spec.role
    if role is None or role not in game.players:
        raise SettingError(f"role: a best response needs one of the players {', '.join(game.players)}, got {role!r}")
    first = level_zero(game, spec.start)
    people = Population(game, spec.seeds, folder)
    for player, agent in first.items():
        people.add(player, "level-0", agent)
    own = {role: recipe[role]}
    people.check(own)
    people.open(repr(("best response", role, without_curves(own), first)))
    people.add(role, "level-1", people.learn(f"level-1-{role}", role, {"level-0": 1.0}, recipe[role], 1, told))
    return people.table()
