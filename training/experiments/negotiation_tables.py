"""The negotiation tables as Markdown, each cell beside the paper's, and the models' figures."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from advgames.training.experiments.negotiation_cells import CELLS, Cell, result
from advgames.victims.supervised import evaluate

if TYPE_CHECKING:
    from advgames.training.experiments.negotiation import Laboratory

__all__ = ["describe_models", "orderings", "tables"]

_ROWS = ("none", "transfer", "rl-attack", "reactive", "preemptive", "ra-pa-da", "ra-pa-ta")
_NAMES = {"sv": "SV", "rl": "RL", "robust": "adversarially trained", "robust-all": "the same against all adversaries"}


def tables(out: Path, scenarios: int) -> str:
    """SV negotiators among themselves, Tables 3.10 and 3.14 as one, 3.15, and what explains them; empty: not played."""
    played = {(c.attack, c.target, c.n): c for c in CELLS if c.words == 2}
    alone = played["supervised", "sv", 2]
    lines = ["| | ours | published |", "|---|---|---|"]
    lines += [f"| SV v SV | {_ours(out, alone, scenarios)} | {_paper(alone)} |", ""]
    lines.append("| attack | " + " | ".join(f"v {name} | paper" for name in _NAMES.values()) + " |")
    lines.append("|---|" + "---|---|" * len(_NAMES))
    for attack in _ROWS:
        cells = [played[attack, target, 2] for target in _NAMES]
        lines.append(f"| {attack} | " + " | ".join(f"{_ours(out, c, scenarios)} | {_paper(c)}" for c in cells) + " |")
    lines += ["", "| n | reactive v RL | paper |", "|---|---|---|"]
    for n in (1, 2, 3, 4):
        cell = played["reactive", "rl", n]
        lines.append(f"| {n} | {_ours(out, cell, scenarios)} | {_paper(cell)} |")
    lines += ["", "| reactive, otherwise | ours | paper |", "|---|---|---|"]
    for cell in CELLS:
        if cell.attack == "forced" or cell.words != 2:
            lines.append(f"| {cell.name} | {_ours(out, cell, scenarios)} | {_paper(cell)} |")
    return "\n".join([*lines, "", *orderings(out, scenarios)])


def orderings(out: Path, scenarios: int) -> list[str]:
    """The paper's orderings of mean advantages, and whether they hold here."""
    found = {(c.attack, c.target, c.n): result(out, c, scenarios) for c in CELLS if c.words == 2}
    gain = {key: value.figures()["advantage"] for key, value in found.items() if value.adversary}
    claims = []
    for target in ("sv", "rl"):
        claims.append((f"{target}: reactive > RL attack", ("reactive", target), ("rl-attack", target)))
        claims.append((f"{target}: RL attack > transfer", ("rl-attack", target), ("transfer", target)))
        for other in ("transfer", "rl-attack", "reactive", "preemptive"):
            claims.append((f"{target}: RA+PA+DA > {other}", ("ra-pa-da", target), (other, target)))
    for target, attack in itertools.product(("robust", "robust-all"), _ROWS[1:]):
        claims.append((f"adversarial training lowers {attack} ({target})", (attack, "rl"), (attack, target)))
    lines = []
    for text, more, less in claims:
        one, two = gain.get((*more, 2)), gain.get((*less, 2))
        if one is not None and two is not None:
            lines.append(f"- {text}: {'holds' if one > two else 'FAILS'} ({one:+.2f}, {two:+.2f})")
    return lines


def describe_models(laboratory: Laboratory) -> str:
    """Test perplexity of each model that there is, and how well it predicts outcomes."""
    lines = ["| model | test perplexity | outcome loss | outputs right % |", "|---|---|---|---|"]
    corpus = laboratory.corpus("test")
    for name in _NAMES:
        if (laboratory.out / f"{name}.safetensors").exists():
            losses = evaluate(laboratory.model(name), corpus)
            lines.append(f"| {name} | {losses.perplexity:.2f} | {losses.outcome:.3f} | {100 * losses.correct:.1f} |")
    return "\n".join([*lines, ""])


def _ours(out: Path, cell: Cell, scenarios: int) -> str:
    found = result(out, cell, scenarios)
    if not found.adversary:
        return ""
    f = found.figures()
    agreed = f", agreement {f['agreement']:.1f}, Pareto {f['pareto']:.1f}" if cell.both_choose else ""
    many = "" if len(found.adversary) == scenarios else f" [{len(found.adversary)}]"
    return (
        f"{f['adversary']:.2f} v {f['target']:.2f} ({f['advantage']:+.2f} ± {f['interval']:.2f}) PAR {f['par']:.1f}"
        f"{agreed}{many}"
    )


def _paper(cell: Cell) -> str:
    own, other, par = cell.paper
    agreed = f", agreement {cell.agreement:.1f}" if cell.both_choose else ""
    return f"{own:.2f} v {other:.2f} ({own - other:+.2f}){'' if par is None else f' PAR {par:.1f}'}{agreed}"
