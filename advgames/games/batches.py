"""What games of perturbations share: minibatches in each match's own order, and radii per match."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from advgames import rng
from advgames.errors import SettingError, UnknownNameError

__all__ = ["PLAYERS_RADII", "next_ids", "radii", "shared"]

PLAYERS_RADII = ("epsilon_attacker", "epsilon_defender")


def next_ids(seeds: Tensor, iteration: int, size: int, total: int, order: Tensor | None) -> tuple[Tensor, Tensor]:
    """(order of this pass (G, total), samples of this iteration (G, size)); a last partial minibatch is dropped.

    Args:
        order: the order of the iteration before, None at the first.
    """
    epoch, position = divmod(iteration, total // size)
    if order is None or position == 0:
        order = rng.permutation(seeds, "epoch", epoch, total)
    return order, order[:, position * size : (position + 1) * size]


def shared(tensor: Tensor, matches: int) -> Tensor:
    """The same samples for every match, without a copy."""
    return tensor.unsqueeze(0).expand(matches, *tensor.shape)


def radii(
    matches: int,
    per_match: dict[str, Sequence[float]],
    defaults: tuple[float | None, float | None],
    dtype: torch.dtype,
    device: torch.device,
    where: str,
) -> list[Tensor]:
    """Both players' radii of every match, (G,) each.

    Raises:
        UnknownNameError: `per_match` names something else.
        SettingError: not one radius per match, or one that is negative or not finite.
    """
    if unknown := sorted(set(per_match) - set(PLAYERS_RADII)):
        raise UnknownNameError("setting per match", unknown[0], PLAYERS_RADII, where)
    found = []
    for name, default in zip(PLAYERS_RADII, defaults, strict=True):
        assert default is not None
        values = [float(v) for v in per_match.get(name, [default] * matches)]
        if len(values) != matches:
            raise SettingError(f"expected one radius per match ({matches}), got {len(values)}")
        if not all(0 <= v < float("inf") for v in values):
            raise SettingError(f"radii must be finite and not negative, got {values}")
        found.append(torch.tensor(values, dtype=dtype, device=device))
    return found
