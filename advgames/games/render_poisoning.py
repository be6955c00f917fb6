"""What is drawn of a match of the training-time game."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor

from advgames.games.drawing import Scene

if TYPE_CHECKING:
    from advgames.games.poisoning import PoisoningGame
    from advgames.games.poisoning_state import PoisoningState

__all__ = ["scene"]


def scene(
    game: PoisoningGame, state: PoisoningState, match: int, payoffs: Mapping[str, Sequence[float]] | None
) -> Scene:
    """One match of a state. Between rounds that is the last minibatch, after the attacker's move the present one.

    The losses before now are the present one minus the attacker's payoffs since (r2t2.txt eq. 4).
    """

    def picked(values: Tensor, scale: Tensor | float = 1.0) -> NDArray[Any]:
        array: NDArray[Any] = (values[match] * scale).detach().cpu().numpy()
        return array

    last = state.last if state.phase == 0 else None
    present = (state.inputs, state.attack, state.attacked, None, None)
    steps = present if last is None else (last.clean, last.attack, last.attacked, last.defense, last.repaired)
    scales: tuple[Tensor | float, ...] = (1.0, state.epsilon_attacker[match], 1.0, state.epsilon_defender[match], 1.0)
    arrays = [None if v is None else picked(v, s) for v, s in zip(steps, scales, strict=True)]
    clean, attack, attacked, defense, repaired = arrays
    assert clean is not None
    labels = state.labels if last is None else last.labels
    gains = [] if payoffs is None else list(payoffs["attacker"][: state.round])
    losses = list(itertools.accumulate(reversed(gains), operator.sub, initial=float(state.validation_loss[match])))
    title = f"{game.task.name}: round {state.round} of {game.horizon}"
    return Scene(
        title=title + (f", attacker {gains[-1]:+.4g}" if gains else ""),
        labels=[str(int(label)) for label in labels[match]] if game.task.num_classes else [],
        clean=clean,
        attack=attack,
        attacked=attacked,
        defense=defense,
        repaired=repaired,
        curve=losses[::-1],
        curve_name="validation loss",
        names=("seen", "trained on"),
        round=state.round,
        horizon=game.horizon,
        bounds=game.task.bounds,
    )
