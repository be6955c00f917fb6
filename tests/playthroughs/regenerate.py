"""Golden playthroughs: one whole match per game as a readable text, compared by tests/test_playthrough.py.

``python tests/playthroughs/regenerate.py`` writes all of them again. Read the difference before you commit it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advgames.agents import make_agent
from advgames.envs import matrix_v0, negotiation_v0, perturbation_v0, poisoning_v0

__all__ = ["PLAYTHROUGHS", "Playthrough", "folder"]

folder = Path(__file__).resolve().parent
LONG = 20  # numbers that a line lists one by one


def number(value: Any) -> str:
    """Six significant digits of a number, or of all numbers of an array; zero has no sign; of a mask where it is 1."""
    if isinstance(value, np.ndarray) and value.dtype == np.int8:
        return " ".join(runs(np.flatnonzero(value).tolist()))
    if isinstance(value, np.ndarray) and value.dtype.kind == "i" and value.size > LONG:
        return padded(value.tolist())
    values = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, dtype=np.float64).ravel()
    return " ".join(f"{v + 0.0:.6g}" for v in values.round(12))


def padded(numbers: list[int]) -> str:
    """Numbers, of which the last may repeat itself."""
    kept = len(numbers) - len(list(itertools.takewhile(lambda n: n == numbers[-1], reversed(numbers))))
    return " ".join([*map(str, numbers[:kept]), f"{numbers[-1]} ({len(numbers) - kept} times)"])


def shown(space: Any) -> str:
    """A space as it prints itself; a long row of equal ranges in short."""
    ranges = getattr(space, "nvec", np.zeros(0))
    if len(ranges) > LONG and (ranges == ranges[0]).all():
        return f"MultiDiscrete({len(ranges)} of {ranges[0]})"
    return str(space)


def runs(numbers: list[int]) -> Iterator[str]:
    """Ascending numbers, those in a row as ``first-last``."""
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        row = [n for _, n in group]
        yield f"{row[0]}-{row[-1]}" if len(row) > 1 else f"{row[0]}"


@dataclass(frozen=True)
class Playthrough:
    """One recorded match.

    Args:
        module: environment module.
        settings: of its game; float64, so that six digits are the same everywhere.
        players: agent -> name of who plays it.
        describe: lines about the game's state after a round.
        seed: of the match.
    """

    module: Any
    settings: dict[str, Any]
    players: dict[str, str]
    describe: Callable[[Any], Iterator[tuple[str, Any]]]
    seed: int = 0

    def text(self) -> str:
        """The whole match, as the file has it."""
        return "\n".join([*self._facts(self.module.env(**self.settings).unwrapped), *self._rounds()]) + "\n"

    def _facts(self, env: Any) -> Iterator[str]:
        game = env.game
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        facts = {
            "environment": str(env),
            "settings": settings,
            "seed": self.seed,
            "agents": ", ".join(f"{agent} ({self.players[agent]})" for agent in env.possible_agents),
            "phases": ", then ".join(" and ".join(phase) for phase in game.phases),
            "zero-sum": "yes" if game.zero_sum else "no",
            "horizon": f"{game.horizon} rounds",
            "hidden": game.hidden,
        }
        for agent in env.possible_agents:
            facts[f"actions of {agent}"] = env.action_space(agent)
            seen = env.observation_space(agent)
            facts[f"observations of {agent}"] = ", ".join(f"{name} {shown(space)}" for name, space in seen.items())
        yield from (f"{name}: {value}" for name, value in facts.items())

    def _rounds(self) -> Iterator[str]:
        env = self.module.env(**self.settings).unwrapped
        players = {agent: make_agent(name) for agent, name in self.players.items()}
        env.reset(seed=self.seed)
        yield from self._after(env, "before the first round")
        totals = dict.fromkeys(env.possible_agents, 0.0)
        for agent in env.agent_iter():
            observation, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                if agent == env.possible_agents[0]:
                    yield ""
                yield f"{agent} ends: total {number(totals[agent])}"
                env.step(None)
                continue
            before = env.game_state.round
            action = env.move(players[agent])
            yield f"  {agent} sees " + ", ".join(f"{name} {number(value)}" for name, value in observation.items())
            yield f"  {agent} plays {number(action)}"
            env.step(action)
            for name, reward in env.rewards.items():
                totals[name] += reward
            if env.game_state.round > before:
                yield from self._after(env, f"after round {env.game_state.round}")
        if "ansi" in env.metadata["render_modes"]:
            yield from ("", *(f"| {line}".rstrip() for line in env.game.render_text(env.game_state).split("\n")), "")
        yield "measures: " + ", ".join(f"{name} {number(value)}" for name, value in env.measures().items())

    def _after(self, env: Any, title: str) -> Iterator[str]:
        yield ""
        yield title
        yield "  " + ", ".join(f"{name} {number(value)}" for name, value in self.describe(env.game_state))
        if env.game_state.round:
            yield "  payoffs " + ", ".join(f"{agent} {number(reward)}" for agent, reward in env.rewards.items())


def _training(state: Any) -> Iterator[tuple[str, Any]]:
    """The training-time game: x, delta, x', sigma, x'' of the last round, the model, its validation loss."""
    if state.last is not None:
        last = state.last
        steps = (last.clean, last.attack, last.attacked, last.defense, last.repaired)
        yield from zip(("x", "delta", "x'", "sigma", "x''"), steps, strict=True)
    yield from state.params.items()
    yield "validation loss", state.validation_loss


def _test_time(state: Any) -> Iterator[tuple[str, Any]]:
    """The test-time game: x, a, x + a, d, x + a + d of the last round, and what they add up to."""
    if state.last is not None:
        last = state.last
        steps = (last.clean, last.attack, last.attacked, last.defense, last.repaired)
        yield from zip(("x", "a", "x+a", "d", "x+a+d"), steps, strict=True)
    yield "classes", state.classes
    yield from state.tallies.items()


def _talk(state: Any) -> Iterator[tuple[str, Any]]:
    """The negotiation game: counts, values, the acts so far, both sides' last offers, choices, outcome and scores."""
    for name in ("counts", "values", "turn", "acts", "offers", "choices", "outcome", "scores"):
        yield name, getattr(state, name)


def _table(state: Any) -> Iterator[tuple[str, Any]]:
    """The matrix game: the strategies of every round so far."""
    yield "played", state.played


PLAYTHROUGHS = {
    "matrix-dilemma": Playthrough(
        matrix_v0,
        {"task": "prisoners-dilemma", "order": "column-first", "rounds": 3, "dtype": torch.float64},
        {"row_0": "answer", "column_0": "mix(weights=[3, 1])"},
        _table,
    ),
    "poisoning-linear-regression": Playthrough(
        poisoning_v0,
        {"task": "linear-regression", "iterations": 30, "dtype": torch.float64},
        {"attacker_0": "level-2", "defender_0": "level-1"},
        _training,
    ),
    "perturbation-polygon": Playthrough(
        perturbation_v0,
        {"task": "polygon", "payoff": "flip-linear", "rounds": 3, "batch_size": 4, "dtype": torch.float64},
        {"attacker_0": "fgm", "defender_0": "smooth"},
        _test_time,
    ),
    "negotiation-acts": Playthrough(
        negotiation_v0,
        {"task": "bargains", "max_turns": 6, "dtype": torch.float64},
        {"attacker_0": "conceding", "defender_0": "fair"},
        _talk,
        seed=3,
    ),
    "negotiation-words": Playthrough(
        negotiation_v0,
        {
            "task": "bargains",
            "actions": "tokens",
            "grammar": True,
            "ending": "accept",
            "discount": 0.9,
            "first": "defender",
            "max_turns": 4,
            "dtype": torch.float64,
        },
        {"attacker_0": "conceding", "defender_0": "stubborn"},
        _talk,
        seed=1,
    ),
    "perturbation-attacker-first": Playthrough(
        perturbation_v0,
        {
            "task": "polygon",
            "order": "attacker-first",
            "defense": "per-input",
            "payoff": "margin",
            "rounds": 2,
            "batch_size": 3,
            "dtype": torch.float64,
        },
        {"attacker_0": "level-1", "defender_0": "level-1"},
        _test_time,
    ),
}


if __name__ == "__main__":
    for name, playthrough in PLAYTHROUGHS.items():
        path = folder / f"{name}.txt"
        path.write_text(playthrough.text(), encoding="utf-8")
        print(f"wrote {path}")
