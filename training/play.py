"""Play matches: one batch at a time, checkpointed, measured, recorded."""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import advgames
from advgames.agents import Agent, make_agent
from advgames.agents.human import Human
from advgames.errors import AdvgamesError, ConfigError, SettingError, UnknownNameError
from advgames.games import GAMES, Game, make_game
from advgames.results import MatchRecord
from advgames.settings import parse
from advgames.spec import MatchSpec
from advgames.training.checkpoint import Checkpoint
from advgames.training.progress import Progress, Show, silent

__all__ = ["play", "play_batch", "play_specs", "usable_device"]

GAME = "game"  # among the players' times, that of the game itself
Curves = dict[str, list[list[float]]]  # name -> for each measured round the values of all matches


def play(
    game: str = "poisoning",
    task: str | None = None,
    players: Mapping[str, str | Agent] | None = None,
    seeds: int | Sequence[int] = (0, 1, 2),
    settings: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    evaluations: int = 20,
    data_root: str | None = None,
    victim: nn.Module | str | None = None,
    progress: Progress = silent,
    show: Show | None = None,
) -> list[MatchRecord]:
    """Play one pairing over seeds and return its records.

    Args:
        game, task: registry names; None: the game's usual task.
        players: player -> agent name or :class:`~advgames.agents.Agent`; for whom you leave out the game's usual agent
            plays (level 1; in negotiations ``fair``).
        seeds: match seeds, or how many (0 ... n - 1).
        settings: the game's settings, such as ``{"epsilon": 1.3}``.
        device, dtype: where and in what precision.
        evaluations: how often on the way the curves are measured.
        data_root: folder of data files; default: the environment variable ADVGAMES_DATA.
        victim: of a test-time game, a trained module to attack in place of the task's own (records do not name it), or
            the place to import one from, ``"my_module:name"`` (they do).
        progress: called with events, see :mod:`advgames.training.progress`.
        show: called with every match as a person reads it, where the game has a rendering in text.

    Raises:
        UnknownNameError, SettingError, DataFileError, AccessError: before anything is played.
    """
    if game not in GAMES:
        raise UnknownNameError("game", game, GAMES)
    if isinstance(victim, str):
        settings, victim = {**(settings or {}), "victim": victim}, None
    made = GAMES[game]
    players = {**dict.fromkeys(made.players, made.default_agent), **(players or {})}
    for player, agent in players.items():
        if not isinstance(agent, str | Agent):
            raise SettingError(f"players: {player}: expected an agent's name or an Agent object, got {agent!r}")
    own = {player: agent for player, agent in players.items() if isinstance(agent, Agent)}
    common = {
        "game": game,
        "task": made.default_task if task is None else task,
        "players": {player: repr(a) if isinstance(a, Agent) else a for player, a in players.items()},
        "settings": dict(settings or {}),
        "dtype": dtype,
        "evaluations": evaluations,
    }
    specs = [
        parse(MatchSpec, {**common, "seed": seed}, "play")
        for seed in (range(seeds) if isinstance(seeds, int) else seeds)
    ]
    if not specs:
        raise SettingError("seeds must name at least one match")
    where: dict[str, Any] = {"device": device, "data_root": data_root, "victim": victim}
    return play_specs(specs, agents=own, progress=progress, show=show, **where)


def play_specs(
    specs: Sequence[MatchSpec],
    *,
    agents: Mapping[str, Agent] | None = None,
    device: str = "cpu",
    data_root: str | None = None,
    victim: nn.Module | None = None,
    batch_limit: int = 32,
    progress: Progress = silent,
    show: Show | None = None,
) -> list[MatchRecord]:
    """Play any matches and return their records in the order given; those that can run as one batch do.

    A person plays one after the other.
    """
    progress({"kind": "start", "total": len(specs), "done": 0})
    records: dict[str, MatchRecord] = {}
    given = agents or {}
    alone = has_person(given.get(player, name) for spec in specs for player, name in spec.players.items())
    for batch in batches(specs, 1 if alone else batch_limit):
        where: dict[str, Any] = {"device": device, "data_root": data_root, "victim": victim}
        played = play_batch(batch, agents=agents, progress=progress, show=show, **where)
        records.update({record.id: record for record in played})
    return [records[spec.id] for spec in specs]


def has_person(players: Iterable[str | Agent]) -> bool:
    """Whether one of these agents, or of the agents of these names, is a person at the keyboard."""
    return any(isinstance(make_agent(p), Human) for p in set(players))


def batches(specs: Iterable[MatchSpec], limit: int) -> list[list[MatchSpec]]:
    """Matches grouped into batches: those that differ only in seed or radius together, `limit` at most."""
    groups: dict[str, list[MatchSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.batch_key, []).append(spec)
    return [group[i : i + limit] for group in groups.values() for i in range(0, len(group), limit)]


def play_batch(
    specs: Sequence[MatchSpec],
    *,
    agents: Mapping[str, Agent] | None = None,
    device: str = "cpu",
    data_root: str | None = None,
    victim: nn.Module | None = None,
    checkpoint: Checkpoint | None = None,
    panels: Path | None = None,
    progress: Progress = silent,
    show: Show | None = None,
) -> list[MatchRecord]:
    """Play matches of one batch key together.

    Args:
        specs: matches that differ only in seed or radius.
        agents: player -> agent to use in place of the named one.
        victim: to attack in place of the task's own.
        checkpoint: where to save the match now and then, and to go on from.
        panels: folder for examples of the first match's inputs and other pictures of it; None: none are kept.
        show: called with each match as text.
    """
    first = specs[0]
    if len({spec.batch_key for spec in specs}) > 1:
        raise SettingError("matches of one batch may differ in seed and radius only")
    game = build_game(first, device, data_root, victim)
    if show is not None and type(game).render_text is Game.render_text:
        raise SettingError(f"{game.name} has no rendering in text to show")
    table = build_agents(first, game, agents)
    match = " vs ".join(first.players[player] for player in game.players)
    own = [game.match_settings(spec.settings) for spec in specs]
    state = game.reset([spec.seed for spec in specs], **{name: [s[name] for s in own] for name in own[0]})
    for player in game.players:
        table[player].reset(game.access(state, player))
    totals = {p: torch.zeros(len(specs), dtype=torch.float64, device=game.device) for p in game.players}
    curves: Curves = {}
    spent = dict.fromkeys([*game.players, GAME], 0.0)
    if checkpoint is not None and checkpoint.exists():
        state, totals, curves, spent = checkpoint.load(type(state), table, game.device)
    due = _schedule(game.horizon, first.evaluations)
    told = 0.0
    if not curves:
        _measure(game, state, curves)
    while not game.over(state):
        before, actions = state.round, dict[str, Tensor]()
        for player in game.movers(state):
            start = _now(game.device)
            actions[player] = table[player].act(game.observe(state, player), game.access(state, player))
            spent[player] += _now(game.device) - start
        start = _now(game.device)
        state, payoffs, _ = game.step(state, actions)
        spent[GAME] += _now(game.device) - start
        for player, gain in payoffs.items():
            totals[player] += gain.to(torch.float64)
        if state.round == before:
            continue
        if state.round in due:
            _measure(game, state, curves)
        if time.perf_counter() - told > 0.2:
            told = time.perf_counter()
            progress(_event("round", match, len(specs), round=state.round, horizon=game.horizon))
        if checkpoint is not None and not game.over(state):
            checkpoint.save_if_due(state, totals, curves, spent, table)
    measures = {name: values[-1] for name, values in curves.items() if name != "round"}  # the last is the end
    file = _save_panels(panels, first, game, state)
    if person := next((agent for agent in table.values() if isinstance(agent, Human)), None):
        person.show(game.render_text(state))
    for i in range(len(specs) if show is not None else 0):
        show(game.render_text(state, i))  # type: ignore[misc]
    timings = {
        "total_s": sum(spent.values()),
        "seconds_per_move": {player: spent[player] / game.horizon for player in game.players},
        "seconds_per_round": spent[GAME] / game.horizon,
        "matches_in_batch": len(specs),
    }
    progress(_event("done", match, len(specs)))
    return [
        MatchRecord(
            id=spec.id,
            **spec.model_dump(),
            payoffs={player: float(total[i]) for player, total in totals.items()},
            measures={name: values[i] for name, values in measures.items()},
            curves={name: [at[i] for at in values] for name, values in curves.items()},
            timings=timings,
            versions=versions(),
            device=_device_name(game.device),
            panels=file if i == 0 else None,
        )
        for i, spec in enumerate(specs)
    ]


def build_game(
    spec: MatchSpec, device: str = "cpu", data_root: str | None = None, victim: nn.Module | None = None
) -> Game[Any]:
    """The game of a match."""
    given: dict[str, Any] = {"device": usable_device(device), "dtype": spec.dtype, "data_root": data_root}
    if victim is not None:
        if "victim" in spec.settings:
            raise SettingError("a victim is given twice: as a module and as a setting")
        if "victim" not in GAMES[spec.game].settings_model.model_fields:
            raise SettingError(f"{spec.game} trains its own victim: none can be given")
        given["victim"] = victim
    return make_game(spec.game, spec.task, settings=spec.settings, **given)


def usable_device(device: str) -> torch.device:
    """A device by name.

    Raises:
        SettingError: it cannot be used here.
    """
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return place


def build_agents(spec: MatchSpec, game: Game[Any], given: Mapping[str, Agent] | None = None) -> dict[str, Agent]:
    """The agents of a match, by player."""
    if set(spec.players) != set(game.players):
        raise ConfigError(f"{game.name} has players {', '.join(game.players)}, got {', '.join(spec.players) or 'none'}")
    given = given or {}
    return {player: given.get(player) or make_agent(name) for player, name in spec.players.items()}


def versions() -> dict[str, str]:
    """Versions that matter for playing a match again."""
    return {
        "advgames": advgames.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _schedule(horizon: int, evaluations: int) -> set[int]:
    return {round(horizon * (i + 1) / evaluations) for i in range(evaluations)}


def _measure(game: Game[Any], state: Any, curves: Curves) -> None:
    curves.setdefault("round", []).append([state.round] * len(state.seeds))
    for name, values in game.measures(state).items():
        curves.setdefault(name, []).append(values.tolist())


def _save_panels(folder: Path | None, spec: MatchSpec, game: Game[Any], state: Any) -> str | None:
    """What a report draws of the first match; the path relative to the results directory, None if there is nothing."""
    if folder is None:
        return None
    arrays = _panels(getattr(state, "last", None))
    try:
        arrays |= game.pictures(state, 0)
    except AdvgamesError as error:  # no reason to lose a match
        warnings.warn(f"no pictures of match {spec.id}: {error}", RuntimeWarning, stacklevel=2)
    if not arrays:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{spec.id}.npz", **arrays)  # cut short by a kill, it is written again: no record yet
    return f"{folder.name}/{spec.id}.npz"


def _panels(last: Any, count: int = 6) -> dict[str, Any]:
    """Examples of the last minibatch of the first match, where inputs are images."""
    if last is None or last.clean.ndim != 5:
        return {}
    stages = ("clean", "attack", "attacked", "defense", "repaired")
    arrays = {name: getattr(last, name)[0, :count].cpu().float().numpy() for name in stages}
    return {"labels": last.labels[0, :count].cpu().numpy(), **arrays}


def _event(kind: str, match: str, matches: int, **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "match": match, "matches": matches, **rest}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
