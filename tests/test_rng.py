"""Randomness is a function of the match seed: batches, devices and restarts cannot change it."""

from __future__ import annotations

import pytest
import torch

from advgames import rng
from advgames.errors import SettingError


def test_match_i_of_a_batch_draws_what_it_draws_alone() -> None:
    batch = rng.normal(rng.seed_tensor([3, 5, 8]), "noise", 7, (4, 2))
    alone = rng.normal(rng.seed_tensor([5]), "noise", 7, (4, 2))
    assert torch.equal(batch[1], alone[0])


@pytest.mark.parametrize("change", [{"seed": 6}, {"stream": "other"}, {"counter": 8}])
def test_seed_stream_and_counter_each_give_other_numbers(change: dict[str, object]) -> None:
    key = {"seed": 5, "stream": "noise", "counter": 7}
    draws = [rng.bits(rng.seed_tensor([k["seed"]]), k["stream"], k["counter"], (100,)) for k in (key, key | change)]
    assert not (draws[0] == draws[1]).any()


def test_bits_are_those_of_splitmix64() -> None:
    """The first output of SplitMix64 seeded with 0 is 0xE220A8397B1DCDAF (its published test vector)."""
    assert rng._mix(torch.tensor([rng._GOLDEN])).item() & (2**64 - 1) == 0xE220A8397B1DCDAF


def test_uniform_and_normal_have_the_moments_they_should() -> None:
    uniform = rng.uniform(rng.seed_tensor([0]), "u", 0, (200_000,), torch.float64)
    normal = rng.normal(rng.seed_tensor([0]), "n", 0, (200_000,), torch.float64)
    assert uniform.min() > 0 and uniform.max() <= 1
    assert abs(uniform.mean() - 0.5) < 0.003 and abs(uniform.var() - 1 / 12) < 0.001
    assert abs(normal.mean()) < 0.01 and abs(normal.var() - 1) < 0.02 and abs((normal**4).mean() - 3) < 0.1


def test_a_permutation_visits_everything_once_and_every_place_is_equally_likely() -> None:
    orders = rng.permutation(torch.arange(6000), "epoch", 0, 6)
    assert torch.equal(orders.sort(1).values, torch.arange(6).expand(6000, 6))
    counts = torch.stack([(orders == value).sum(0) for value in range(6)])
    assert (counts - 1000).abs().max() < 150  # five standard deviations


@pytest.mark.parametrize("seeds", [[], [-1], [1.5], [True], [2**63]])
def test_seeds_that_are_none_are_refused(seeds: list[object]) -> None:
    with pytest.raises(SettingError):
        rng.seed_tensor(seeds)  # type: ignore[arg-type]
