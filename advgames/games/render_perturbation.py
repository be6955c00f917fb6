"""What is drawn of a match of the test-time game."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor

from advgames.games.drawing import Scene

if TYPE_CHECKING:
    from advgames.games.perturbation import PerturbationGame
    from advgames.games.perturbation_state import PerturbationState

__all__ = ["scene"]


def scene(
    game: PerturbationGame, state: PerturbationState, match: int, payoffs: Mapping[str, Sequence[float]] | None
) -> Scene:
    """One match of a state. Between rounds that is the last minibatch, after a first move the present one.

    The curve is the sum of the attacker's payoffs so far.
    """

    def picked(values: Tensor | None, radius: Tensor | None = None) -> NDArray[Any] | None:
        if values is None:
            return None
        scaled = values[match] if radius is None else values[match] * radius[match]
        array: NDArray[Any] = scaled.expand(state.inputs.shape[1:]).detach().cpu().numpy()
        return array

    last, own, other = state.last if state.phase == 0 else None, state.epsilon_attacker, state.epsilon_defender
    attacked_first = game.phases[0] == ("attacker",)
    if last is None:
        clean, labels, repaired = picked(state.inputs), state.labels, None
        attack, defense = (state.first, None) if attacked_first else (None, state.first)
        attacked = state.moved if attacked_first else None
    else:
        clean, labels, repaired = picked(last.clean), last.labels, picked(last.repaired)
        attack, defense, attacked = last.attack, last.defense, last.attacked
    assert clean is not None
    gains = [] if payoffs is None else list(payoffs["attacker"][: state.round])
    title = f"{game.task.name}: round {state.round} of {game.horizon}"
    return Scene(
        title=title + (f", attacker {gains[-1] * game.horizon:+.4g}" if gains else ""),
        labels=[str(int(label)) for label in labels[match]],
        clean=clean,
        attack=picked(attack, own),
        attacked=picked(attacked),
        defense=picked(defense, other),
        repaired=repaired,
        curve=list(itertools.accumulate(gains)),
        curve_name="attacker's payoff so far",
        names=("attacked", "classified"),
        round=state.round,
        horizon=game.horizon,
        bounds=game.task.bounds,
    )
