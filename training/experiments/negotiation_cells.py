"""The cells of the negotiation tables: who attacks whom, with which result, scenario by scenario, on disk."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from advgames.agents import Agent
from advgames.agents.baiting import ArbitraryTurn, Preemptive, Reactive, Transfer
from advgames.agents.dialogue import Observation
from advgames.agents.negotiators import NeuralNegotiator, ended
from advgames.errors import SettingError
from advgames.files import drop_cut_line, whole_lines, write_whole
from advgames.games.negotiation_access import NegotiationAccess
from advgames.training.dialogues import converse, malicious_sentences
from advgames.victims.negotiator import Negotiator

if TYPE_CHECKING:
    from advgames.training.experiments.negotiation import Laboratory

__all__ = ["CELLS", "Cell", "Result", "play_cell", "result", "sentences_file", "summary"]

_LISTS = ("adversary", "target", "agreed", "efficient", "turns")
FIRST_SEED = 10**12  # of the tables' matches: nothing was trained on their draws


@dataclass(frozen=True)
class Cell:
    """One attack on one target.

    Attributes:
        attack: ``none`` (the RL negotiator, both choose), ``supervised`` (the SV negotiator, both choose),
            ``transfer``, ``rl-attack``, ``reactive``, ``preemptive``, ``ra-pa-da``, ``ra-pa-ta``; ``forced`` is the
            reactive one as the released program counts it: after the first attack the talk is over, whether or not the
            target would have ended it.
        target: ``sv``, ``rl``, ``robust``, or ``robust-all``, ours, beside the paper's figures for ``robust``.
        paper: score of the adversary, of the target, and PAR in per cent, where it was published.
        agreement: the paper's, in per cent.
        n: the utterance with which a fixed-turn attack begins.
        words: how many words it replaces.
    """

    attack: str
    target: str
    paper: tuple[float, float, float | None]
    agreement: float = 100.0
    n: int = 2
    words: int = 2

    @property
    def name(self) -> str:
        """A name for files and the command line."""
        turn = f"-n{self.n}" if self.attack in ("reactive", "preemptive") or self.n != 2 else ""
        return f"{self.target}-{self.attack}{turn}{f'-w{self.words}' if self.words != 2 else ''}"

    @property
    def both_choose(self) -> bool:
        """Whether nobody attacks: the sides agree, or do not."""
        return self.attack in ("none", "supervised")


# Tables 3.10, 3.14 and 3.15; the first cell is that of the negotiators' own authors (Lewis et al. 2017, Table 1)
_PUBLISHED = (
    Cell("supervised", "sv", (5.4, 5.5, None), 87.9),
    Cell("none", "sv", (7.23, 4.55, 75.79), 89.57),
    Cell("none", "rl", (5.05, 5.00, 44.70), 76.36),
    Cell("none", "robust", (6.51, 6.64, 48.67), 91.75),
    Cell("rl-attack", "sv", (8.28, 4.03, 84.45)),
    Cell("rl-attack", "rl", (7.11, 4.79, 69.35)),
    Cell("rl-attack", "robust", (5.71, 7.51, 62.61)),
    Cell("transfer", "sv", (6.41, 6.54, 44.43)),
    Cell("transfer", "rl", (5.65, 6.84, 36.10)),
    Cell("transfer", "robust", (4.93, 7.59, 23.05)),
    Cell("reactive", "sv", (8.83, 3.43, 87.00)),
    Cell("reactive", "rl", (8.72, 3.77, 90.23)),
    Cell("reactive", "robust", (8.83, 4.31, 80.76)),
    Cell("ra-pa-da", "sv", (8.79, 2.96, 84.33)),
    Cell("ra-pa-da", "rl", (8.73, 2.95, 86.93)),
    Cell("ra-pa-da", "robust", (8.05, 4.07, 73.96)),
    Cell("preemptive", "sv", (7.76, 4.95, 71.86)),
    Cell("preemptive", "rl", (6.78, 6.01, 69.23)),
    Cell("preemptive", "robust", (5.64, 7.41, 34.39)),
    Cell("ra-pa-ta", "sv", (8.67, 3.05, 83.12)),
    Cell("ra-pa-ta", "rl", (8.62, 2.92, 89.74)),
    Cell("ra-pa-ta", "robust", (8.06, 4.13, 73.45)),
    Cell("reactive", "rl", (8.84, 3.32, 94.02), n=1),
    Cell("reactive", "rl", (8.81, 3.62, 92.02), n=3),
    Cell("reactive", "rl", (8.71, 3.87, 90.35), n=4),
    # why ours is weaker against targets that hardly ever end a talk, beside the same published figures
    Cell("forced", "sv", (8.83, 3.43, 87.00)),
    Cell("forced", "rl", (8.72, 3.77, 90.23)),
    Cell("forced", "robust", (8.83, 4.31, 80.76)),
    Cell("forced", "rl", (8.84, 3.32, 94.02), n=1),
    Cell("forced", "rl", (8.81, 3.62, 92.02), n=3),
    Cell("forced", "rl", (8.71, 3.87, 90.35), n=4),
    Cell("reactive", "rl", (8.72, 3.77, 90.23), words=8),
    Cell("reactive", "robust", (8.83, 4.31, 80.76), words=8),
)
CELLS = (*_PUBLISHED, *(replace(cell, target="robust-all") for cell in _PUBLISHED if cell.target == "robust"))


class Interrupted(NeuralNegotiator):
    """A negotiator who must end the talk after the other side's n-th utterance.

    Args:
        weights: as of :class:`~advgames.agents.negotiators.NeuralNegotiator`.
        n: utterances of the other side.
    """

    def __init__(self, weights: str | Negotiator, n: int) -> None:
        super().__init__(weights)
        self.n = n

    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Regular speech, then ``<selection>``."""
        said = super().utter(observation, access)
        over = access.speaking & (access.said == 0) & ((access.turn + 1) // 2 >= self.n)
        return ended(said, over, access)


@dataclass
class Result:
    """What happened in a cell, scenario by scenario; `efficient` are agreements on the Pareto frontier."""

    adversary: list[float] = field(default_factory=list)
    target: list[float] = field(default_factory=list)
    agreed: list[bool] = field(default_factory=list)
    efficient: list[bool] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, float]:
        """Means, and half the width of the 95 % interval of the mean advantage."""
        adversary, target = np.array(self.adversary), np.array(self.target)
        gain = adversary - target
        return {
            "adversary": float(adversary.mean()),
            "target": float(target.mean()),
            "advantage": float(gain.mean()),
            "interval": float(1.96 * gain.std(ddof=1) / len(gain) ** 0.5) if len(gain) > 1 else float("nan"),
            "par": 100 * float((gain > 0).mean()),
            "agreement": 100 * float(np.mean(self.agreed)),
            "pareto": 100 * sum(self.efficient) / sum(self.agreed) if any(self.agreed) else float("nan"),
            "turns": float(np.mean(self.turns)),
        }


def play_cell(laboratory: Laboratory, cell: Cell, scenarios: int, chunk: int) -> None:
    """Play what is missing of the cell's scenarios 0, 1, ..., and append it to its file chunk by chunk."""
    done = len(result(laboratory.out, cell, scenarios).adversary)
    if done >= scenarios:
        return
    drop_cut_line(_file(laboratory.out, cell))
    attacker = _attacker(laboratory, cell)
    target = laboratory.path(cell.target)
    white = attacker.needs == "white-box"
    game = laboratory.game(
        adversarial=not cell.both_choose, access_attacker="white-box" if white else "black-box", target=target
    )
    defender = Interrupted(target, cell.n) if cell.attack == "forced" else NeuralNegotiator(target)
    players = {"attacker": attacker, "defender": defender}
    while done < scenarios:
        seeds = range(done, min(done + chunk, scenarios))
        began = time.perf_counter()
        state = converse(game, players, [FIRST_SEED + scenario for scenario in seeds])
        measures = game.measures(state)
        _append(
            laboratory.out,
            cell,
            {
                "first": done,
                "adversary": state.scores[:, 0].tolist(),
                "target": state.scores[:, 1].tolist(),
                "agreed": [bool(a) for a in measures["agreement"]],
                "efficient": [bool(e == 1) for e in measures["pareto"]],
                "turns": state.turn.tolist(),
                "seconds": time.perf_counter() - began,
                "examples": [laboratory.task.vocabulary.decode(words) for words in state.words[:2].tolist()],
            },
        )
        done = seeds.stop


def result(out: Path, cell: Cell, scenarios: int) -> Result:
    """What has been played of the cell; of a last line that a kill cut short nothing is taken."""
    found = Result()
    file = _file(out, cell)
    for text in whole_lines(file):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise SettingError(f"{file}: {error}: delete the file") from error
        if missing := {"first", "seconds", *_LISTS} - set(line):
            raise SettingError(f"{file}: a line without {min(missing)}: delete the file")
        if line["first"] != len(found.adversary):
            raise SettingError(f"{file}: scenario {line['first']} follows {len(found.adversary)}: delete the file")
        for name in _LISTS:
            getattr(found, name).extend(line[name])
        found.seconds += line["seconds"]
    for name in _LISTS:
        setattr(found, name, getattr(found, name)[:scenarios])
    return found


def summary(out: Path, cell: Cell, scenarios: int) -> str:
    """The cell in one line."""
    found = result(out, cell, scenarios)
    if not found.adversary:
        return f"{cell.name}: not played"
    f = found.figures()
    return (
        f"{cell.name}: {len(found.adversary)} scenarios, {f['adversary']:.2f} v {f['target']:.2f} "
        f"({f['advantage']:+.2f} +- {f['interval']:.2f}), PAR {f['par']:.1f}, agreement {f['agreement']:.1f}, "
        f"{f['turns']:.1f} turns, {found.seconds / len(found.adversary):.2f} s each"
    )


def sentences_file(laboratory: Laboratory, target: str, dialogues: int = 512) -> Path:
    """The list L of the transfer attack on a target, of dialogues of its RL attack that no table uses; found once."""
    file = laboratory.out / f"sentences-{target}.txt"
    if not file.exists():
        adversary, victim = (NeuralNegotiator(laboratory.path(name)) for name in (f"attack-{target}", target))
        seeds = range(FIRST_SEED // 2, FIRST_SEED // 2 + dialogues)
        found = malicious_sentences(laboratory.game(adversarial=True), adversary, victim, seeds)
        if not found:
            raise SettingError(f"the RL attack on {target} gained 5 in no dialogue: there is nothing to transfer")
        write_whole(file, "\n".join(found) + "\n")
    return file


def _attacker(laboratory: Laboratory, cell: Cell) -> Agent:
    speakers = {"rl-attack": f"attack-{cell.target}", "supervised": "sv"}
    speech = laboratory.path(speakers.get(cell.attack, "rl"))
    if cell.both_choose or cell.attack == "rl-attack":
        return NeuralNegotiator(speech)
    if cell.attack == "reactive":
        return Reactive(speech, n=cell.n, replacements=cell.words)
    if cell.attack == "forced":
        return Reactive(speech, n=cell.n, replacements=cell.words, stop=-math.inf)
    if cell.attack == "preemptive":
        return Preemptive(speech, n=cell.n)
    if cell.attack == "ra-pa-da":
        return ArbitraryTurn(speech, otherwise="delayed")
    sentences = str(sentences_file(laboratory, cell.target))
    if cell.attack == "transfer":
        return Transfer(speech, sentences=sentences)
    return ArbitraryTurn(speech, otherwise="transfer", sentences=sentences)


def _file(out: Path, cell: Cell) -> Path:
    return out / "cells" / f"{cell.name}.jsonl"


def _append(out: Path, cell: Cell, line: dict[str, Any]) -> None:
    file = _file(out, cell)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(line) + "\n")
