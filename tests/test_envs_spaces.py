"""The Ball holds exactly the perturbations of norm at most 1, and draws them from its own generator."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from conformance import after_global_draws
from gymnasium import spaces

from advgames.envs import Ball
from advgames.envs.spaces import as_array, check_action, to_gymnasium
from advgames.errors import (
    ActionDtypeError,
    ActionError,
    ActionShapeError,
    NonFiniteActionError,
    RadiusExceededError,
)
from advgames.games import spaces as core


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2, 3), (2, 3, 8, 8)])
def test_samples_lie_in_the_ball(norm: str, shape: tuple[int, ...]) -> None:
    ball = Ball(shape, norm, seed=0)
    for _ in range(20):
        sample = ball.sample()
        assert sample.shape == shape and sample.dtype == np.float32
        assert ball.contains(sample) and ball.norms(sample).max() <= 1 + 1e-6


def test_samples_fill_the_ball_uniformly() -> None:
    """In d dimensions a share r^d of the ball lies within radius r, and every direction is as likely."""
    ball = Ball((20000, 3), seed=1)
    sample = ball.sample()
    norms = ball.norms(sample)
    for r in (0.3, 0.6, 0.9):
        assert (norms <= r).mean() == pytest.approx(r**3, abs=0.01)
    assert np.abs(sample.mean(0)).max() < 0.01


def test_the_ball_is_smaller_than_its_box() -> None:
    corner = np.ones((4, 2), dtype=np.float32)
    assert spaces.Box(-1.0, 1.0, (4, 2)).contains(corner)
    assert not Ball((4, 2)).contains(corner)
    assert Ball((4, 2), "linf").contains(corner)
    assert Ball((4, 2)).contains(np.zeros((4, 2), dtype=np.float32))


def test_norms_are_per_input() -> None:
    one = np.zeros((3, 1, 2), dtype=np.float32)
    one[1, 0] = (0.8, 0.8)
    assert not Ball((3, 1, 2)).contains(one)
    one[1, 0] = (0.6, 0.8)
    assert Ball((3, 1, 2)).contains(one)


@pytest.mark.parametrize(
    "element",
    [np.zeros((2, 3)), np.zeros((3, 2), np.float32), [[0.0] * 3] * 2, np.full((2, 3), np.nan, np.float32), None],
    ids=["dtype", "shape", "list", "nan", "none"],
)
def test_what_is_no_perturbation_is_not_in_the_ball(element: object) -> None:
    assert not Ball((2, 3)).contains(element)


def test_equal_seeds_draw_equal_samples() -> None:
    one, two = Ball((2, 3), seed=4), Ball((2, 3))
    two.seed(4)
    assert np.array_equal(one.sample(), two.sample())
    assert not np.array_equal(one.sample(), Ball((2, 3), seed=5).sample())


def test_sampling_touches_no_global_generator() -> None:
    before = after_global_draws()
    Ball((2, 3)).sample()
    assert after_global_draws() == before


def test_equality_knows_the_norm_and_the_kind() -> None:
    assert Ball((2, 3)) == Ball((2, 3))
    assert Ball((2, 3)) != Ball((2, 3), "linf")
    assert Ball((2, 3)) != spaces.Box(-1.0, 1.0, (2, 3))
    assert repr(Ball((2, 3))) == "Ball((2, 3), 'l2', float32)"


def test_masks_are_refused() -> None:
    with pytest.raises(gymnasium.error.Error, match="mask"):
        Ball((2, 3)).sample(mask=np.ones(2))  # type: ignore[arg-type]


def test_spaces_of_games_become_gymnasium_spaces() -> None:
    declared = {
        "inputs": core.Box((2, 3), 0.0, 1.0),
        "labels": core.Classes((4,), 10),
        "turn": core.Classes((), 2),
    }
    expected = spaces.Dict(
        {
            "inputs": spaces.Box(0.0, 1.0, (2, 3), np.float64),
            "labels": spaces.MultiDiscrete([10] * 4),
            "turn": spaces.Discrete(2),
        }
    )
    assert to_gymnasium(declared, torch.float64) == expected
    assert to_gymnasium(core.Ball((2, 3), "linf"), torch.float32) == Ball((2, 3), "linf")


def test_arrays_made_of_tensors_are_their_own() -> None:
    tensor = torch.zeros(2, 3)
    array = as_array(Ball((2, 3)), tensor)
    array[:] = 1
    assert torch.equal(tensor, torch.zeros(2, 3))
    assert type(as_array(spaces.Discrete(3), torch.tensor(2))) is int


BAD = [
    (Ball((2, 3)), [[0.0] * 3] * 2, ActionDtypeError, "expected a numpy array, got list"),
    (Ball((2, 3)), None, ActionDtypeError, "got NoneType"),
    (Ball((2, 3)), np.zeros((2, 3)), ActionDtypeError, "expected dtype float32, got float64"),
    (Ball((2, 3)), np.zeros((3, 2), np.float32), ActionShapeError, r"expected shape \(2, 3\), got \(3, 2\)"),
    (Ball((2, 3)), np.full((2, 3), np.inf, np.float32), NonFiniteActionError, "NaN or infinity"),
    (Ball((2, 3)), np.full((2, 3), 0.6, np.float32), RadiusExceededError, "l2 norm is 1.03923, but at most 1"),
    (spaces.Box(0.0, 1.0, (2,)), np.full(2, 1.5, np.float32), ActionError, "outside Box"),
    (spaces.MultiDiscrete([3, 3]), np.array([0, 3]), ActionError, "outside MultiDiscrete"),
    (spaces.MultiDiscrete([3, 3]), np.array([0.0, 1.0]), ActionDtypeError, "expected dtype int64"),
    (spaces.Discrete(3), 3, ActionError, "outside Discrete"),
    (spaces.Discrete(3), -1, ActionError, "outside Discrete"),
    (spaces.Discrete(3), 1.0, ActionDtypeError, "got float"),
    (spaces.Discrete(3), True, ActionDtypeError, "got bool"),
]


@pytest.mark.parametrize(("space", "action", "error", "message"), BAD)
def test_an_action_outside_its_space_has_a_named_error(
    space: spaces.Space[object], action: object, error: type[ActionError], message: str
) -> None:
    with pytest.raises(error, match=f"attacker_0: .*{message}") as caught:
        check_action(space, action, "attacker_0")
    assert type(caught.value) is error


@pytest.mark.parametrize("action", [2, np.int32(2), np.int64(2), np.array(2)])
def test_discrete_actions_may_be_any_integer(action: object) -> None:
    assert check_action(spaces.Discrete(3), action, "row_0") == 2
