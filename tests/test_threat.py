"""Perturbations have norm at most 1, and inputs stay in their range."""

from __future__ import annotations

import pytest
import torch

from advgames.errors import (
    ActionDeviceError,
    ActionDtypeError,
    ActionShapeError,
    NonFiniteActionError,
    RadiusExceededError,
    SettingError,
)
from advgames.threat import Threat

VECTORS = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]]])


def test_unit_has_norm_one_and_the_zero_direction_stays_zero() -> None:
    expected = torch.tensor([[[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]]])
    assert torch.allclose(Threat("l2").unit(VECTORS), expected)
    assert torch.equal(Threat("linf").unit(VECTORS), torch.tensor([[[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]]))


def test_a_direction_that_is_not_finite_gives_no_perturbation_and_spoils_no_other() -> None:
    direction = torch.tensor([[[float("nan"), 1.0], [float("inf"), 0.0], [0.0, 2.0]]])
    for norm in ("l2", "linf"):
        assert torch.equal(Threat(norm).unit(direction), torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]]))


def test_projection_moves_only_what_is_too_long() -> None:
    inside = torch.tensor([[[0.3, 0.4]]])
    for norm in ("l2", "linf"):
        assert torch.equal(Threat(norm).project(inside), inside)
    assert torch.allclose(Threat("l2").project(10 * inside), torch.tensor([[[0.6, 0.8]]]))
    assert torch.equal(Threat("linf").project(10 * inside), torch.tensor([[[1.0, 1.0]]]))


def test_perturb_scales_by_each_match_s_radius_and_respects_the_bounds() -> None:
    inputs = torch.full((2, 1, 2), 0.5)
    delta = torch.tensor([[[1.0, -0.1]]]).expand(2, 1, 2)
    moved = Threat("linf", (0.0, 1.0)).perturb(inputs, delta, torch.tensor([0.1, 1.0]))
    assert torch.allclose(moved, torch.tensor([[[0.6, 0.49]], [[1.0, 0.4]]]))
    assert Threat("linf", None).perturb(inputs, delta, torch.tensor([0.1, 1.0])).max() == 1.5


@pytest.mark.parametrize(
    ("delta", "error", "says"),
    [
        (torch.zeros(1, 3, 3), ActionShapeError, "expected shape (1, 3, 2)"),
        (torch.zeros(1, 3, 2, dtype=torch.float64), ActionDtypeError, "expected dtype torch.float32"),
        ([[0.0]], ActionDtypeError, "got list"),
        (torch.zeros(1, 3, 2, device="meta"), ActionDeviceError, "expected device cpu, got meta"),
        (torch.full((1, 3, 2), float("nan")), NonFiniteActionError, "NaN"),
        (torch.tensor([[[0.0, 0.0], [float("inf"), 0.0], [0.0, 0.0]]]), NonFiniteActionError, "infinity"),
        (torch.full((1, 3, 2), 0.75), RadiusExceededError, "1.06066"),
        (torch.full((1, 3, 2), 1e30), RadiusExceededError, "at most 1"),
    ],
)
def test_each_illegal_perturbation_has_its_own_error(delta: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        Threat("l2").check(delta, torch.zeros(1, 3, 2), "attacker")
    assert says in str(caught.value) and "attacker" in str(caught.value)


def test_unknown_norms_and_empty_bounds_are_refused() -> None:
    with pytest.raises(SettingError, match="l2, linf"):
        Threat("l3")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="low < high"):
        Threat("l2", (1.0, 0.0))
