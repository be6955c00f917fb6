"""Scenarios are those that the published rules allow, each as likely as the rules say, each from its seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import torch

from advgames.dialogue.corpus import read_lines, read_scenarios
from advgames.dialogue.scenarios import all_scenarios, generate_scenarios

ALL = all_scenarios()
ROWS = list(map(tuple, ALL.flatten(1).tolist()))


def allowed() -> set[tuple[int, ...]]:
    """Every scenario, from the rules one by one."""
    found = set()
    for counts in product(range(1, 5), repeat=3):
        if not 5 <= sum(counts) <= 7:
            continue
        sides = [v for v in product(range(11), repeat=3) if sum(c * x for c, x in zip(counts, v, strict=True)) == 10]
        for one, other in product(sides, sides):
            if all(a + b for a, b in zip(one, other, strict=True)) and any(
                a and b for a, b in zip(one, other, strict=True)
            ):
                rows = [zip(counts, values, strict=True) for values in (one, other)]
                found.add(tuple(number for row in rows for pair in row for number in pair))
    return found


def test_all_scenarios_are_those_of_the_rules_once_each_in_order() -> None:
    assert ALL.shape == (5295, 2, 6) and ALL.dtype == torch.int64
    assert set(ROWS) == allowed() and len(set(ROWS)) == len(ROWS)
    keys = [(row[0:6:2], row[1:6:2], row[7:12:2]) for row in ROWS]
    assert keys == sorted(keys)
    ALL_AGAIN = all_scenarios()
    ALL_AGAIN.zero_()
    assert torch.equal(all_scenarios(), ALL)  # nobody can spoil the table


def test_a_seed_has_its_scenario_in_any_batch() -> None:
    seeds = torch.tensor([5, 0, 2**63 - 1, 5])
    found = generate_scenarios(seeds)
    assert torch.equal(found[0], found[3]) and torch.equal(
        found, torch.cat([generate_scenarios(s[None]) for s in seeds])
    )
    assert torch.equal(generate_scenarios(torch.arange(64))[:8], generate_scenarios(torch.arange(8)))
    assert not torch.equal(found[0], found[1])


def test_counts_are_drawn_evenly_and_values_evenly_among_those_that_fit() -> None:
    draws = 40_000
    drawn = Counter(map(tuple, generate_scenarios(torch.arange(draws)).flatten(1).tolist()))
    sizes = Counter(row[0:6:2] for row in ROWS)
    share = draws / len(sizes)
    pools: Counter[tuple[int, ...]] = Counter()
    statistic = 0.0
    for row in ROWS:
        expected = share / sizes[row[0:6:2]]
        statistic += (drawn[row] - expected) ** 2 / expected
        pools[row[0:6:2]] += drawn[row]
    assert sum(pools.values()) == draws  # nothing else was drawn
    assert all(abs(n - share) < 5 * share**0.5 for n in pools.values())
    # Pearson's statistic of 5295 cells: mean 5294, variance 2 * 5294 + sum_i 1 / expected_i (about), five deviations
    spread = (2 * len(ROWS) + sum(sizes[row[0:6:2]] / share for row in ROWS)) ** 0.5
    assert abs(statistic - len(ROWS)) < 5 * spread


def test_the_real_scenarios_are_among_them(data_root: Path) -> None:
    folder = data_root / "negotiate"
    known = set(ROWS)
    assert set(map(tuple, read_scenarios(folder / "selfplay.txt").flatten(1).tolist())) <= known
    for name in ("val.txt", "test.txt"):
        assert {line.context + line.partner for line in read_lines(folder / name)} <= known
