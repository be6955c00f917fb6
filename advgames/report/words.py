"""Words: how a page speaks of a game, its players' payoffs and what happens to the inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Words", "words_of"]

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """How a page speaks of a game.

    Attributes:
        name: of the game in a sentence; empty: its registry name.
        payoff: what the attacker's payoff is.
        opposed: whether the defender's is the opposite of that; else it is the same of its own.
        ends, leaves: the verbs between a victim, or a defence, and the measure.
        stages: for each stage of an input its symbol and what it is.
        stages_note: what a reader of those pictures should know of the game.
        own_part: what the game itself does in a round.
        sides: what payoffs and measures stand for, where a reader could mistake one for the other.
    """

    name: str = ""
    payoff: str = "sum of its payoffs over the match"
    opposed: bool = True
    ends: str = "ends at"
    leaves: str = "ends at"
    stages: tuple[tuple[str, str, str], ...] = (
        ("clean", "x", "clean"),
        ("attack", "δ", "attack"),
        ("attacked", "x′", "after the attack"),
        ("defense", "σ", "defence"),
        ("repaired", "x″", "after the defence"),
    )
    stages_note: str = ""
    own_part: str = ""
    sides: str = ""


def _poisoning(settings: Settings) -> Words:
    return Words(
        name="training-time game",
        payoff="final minus initial validation loss of the victim",
        stages=(
            ("clean", "x", "clean"),
            ("attack", "δ", "attack"),
            ("attacked", "x′", "what the defender sees"),
            ("defense", "σ", "defence"),
            ("repaired", "x″", "what the victim learns from"),
        ),
        stages_note="The victim trains on x″; the defender never sees x.",
        own_part="model update and validation pass, whose gradient the players share",
    )


def _perturbation(settings: Settings) -> Words:
    payoff = settings.get("payoff", "flip")
    flips = payoff in ("flip", "flip-linear")
    reference = settings.get("reference") or ("prediction" if flips else "label")
    whose = "true class" if reference == "label" else "predicted class"
    paid = {
        "flip": f"share of inputs that leave their {whose} minus the share that keep it",
        "flip-linear": f"share of inputs that leave their {whose} minus the share that keep it, under the victim "
        "linearised around each input",
        "loss": f"mean cross-entropy of the perturbed inputs against their {whose}",
        "margin": f"mean lead, in logits, of the best other class over the {whose}",
    }
    notes = {
        "attacker-first": "The defender sees x′ and neither x nor a.",
        "defender-first": "The attacker sees x + d; the defender has moved without seeing x.",
    }
    if settings.get("defense") == "per-input":
        notes["defender-first"] = "The attacker sees x + d."
    sides = (
        "Payoffs, and accuracy under the linearised victim, are about the victim linearised around each clean input "
        "and the class that it gives that input. Plain accuracy is the victim's own, against the true labels. The less "
        "the two differ, the closer to linear the victim is within the players' radii."
    )
    return Words(
        name="test-time game",
        payoff=paid.get(str(payoff), Words.payoff),
        ends="has",
        leaves="leaves",
        stages=(
            ("clean", "x", "clean"),
            ("attack", "a", "attack"),
            ("attacked", "x′", "perturbed: x + a"),
            ("defense", "d", "defence"),
            ("repaired", "x″", "restored: x + a + d"),
        ),
        stages_note="The victim, which does not change, classifies x″. "
        + notes.get(str(settings.get("order")), "Neither player sees the other's perturbation."),
        own_part="the victim's answers, clean and perturbed",
        sides=sides if payoff == "flip-linear" else "",
    )


def _negotiation(settings: Settings) -> Words:
    walks = [float(settings.get(f"walk_away_{player}", 0.0)) for player in ("attacker", "defender")]
    nothing = "nothing" if not any(walks) else f"{walks[0]:g} (the defender {walks[1]:g})"
    score = f"value to it of the pieces that it gets (10 for all of them), and {nothing} without an agreement"
    if settings.get("payoff") == "advantage":
        return Words(name="negotiation game", payoff="attacker's score minus the defender's")
    return Words(name="negotiation game", payoff=score, opposed=False)


GAMES: dict[str, Callable[[Settings], Words]] = {
    "poisoning": _poisoning,
    "perturbation": _perturbation,
    "negotiation": _negotiation,
}


def words_of(game: str, settings: Settings) -> Words:
    """How a page speaks of a game with these settings; in general terms of a game it does not know."""
    return GAMES[game](settings) if game in GAMES else Words()
