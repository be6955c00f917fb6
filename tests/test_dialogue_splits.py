"""Splits are all enumerated, and the bargaining points are those of a plain search over them."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
import torch

from advgames.dialogue.scenarios import all_scenarios
from advgames.dialogue.splits import (
    NO_DEAL,
    NUM_SPLITS,
    Frontier,
    frontier,
    legal_splits,
    mirrored,
    split_index,
    split_items,
    split_values,
)

Numbers = tuple[int, ...]
SCENARIOS = all_scenarios()[::37]
COUNTS, MINE, YOURS = SCENARIOS[:, 0, ::2], SCENARIOS[:, 0, 1::2], SCENARIOS[:, 1, 1::2]


def worth(items: Numbers, values: Numbers) -> int:
    return sum(n * v for n, v in zip(items, values, strict=True))


def searched(counts: Numbers, mine: Numbers, yours: Numbers, walk: Numbers) -> tuple[set[Numbers], Numbers, Numbers]:
    """The efficient splits, and the values at the Nash and Kalai points, one split after another."""
    value = {}
    for taken in product(*(range(n + 1) for n in counts)):
        rest = tuple(n - k for n, k in zip(counts, taken, strict=True))
        value[taken] = (worth(taken, mine), worth(rest, yours))

    def beaten(split: Numbers) -> bool:
        a, b = value[split]
        return any(x >= a and y >= b and (x, y) != (a, b) for x, y in value.values())

    efficient = [split for split in value if not beaten(split)]
    gains = {s: (value[s][0] - walk[0], value[s][1] - walk[1]) for s in efficient}
    possible = [s for s in efficient if min(gains[s]) >= 0]
    reach = [max(gains[s][side] for s in possible) for side in (0, 1)]

    def nash(s: Numbers) -> tuple[int, int]:
        return gains[s][0] * gains[s][1], sum(value[s])

    def kalai(s: Numbers) -> tuple[Fraction, int]:
        shares = [Fraction(gain, top) if top else Fraction(0) for gain, top in zip(gains[s], reach, strict=True)]
        return min(shares), sum(value[s])

    # max() keeps the first of equals, and product() counts up as the numbers of the splits do
    return set(efficient), value[max(possible, key=nash)], value[max(possible, key=kalai)]


def points(counts: Numbers, mine: Numbers, yours: Numbers, walk: tuple[float, float] = (0.0, 0.0)) -> Frontier:
    return frontier(torch.tensor([counts]), torch.tensor([mine]), torch.tensor([yours]), walk)


@pytest.mark.parametrize("walk", [(0, 0), (2, 3), (5, 0)])
def test_the_frontier_is_what_a_plain_search_finds(walk: tuple[int, int]) -> None:
    found = frontier(COUNTS, MINE, YOURS, walk)
    items = split_items().tolist()
    for match, (counts, mine, yours) in enumerate(zip(COUNTS.tolist(), MINE.tolist(), YOURS.tolist(), strict=True)):
        efficient, nash, kalai = searched(tuple(counts), tuple(mine), tuple(yours), walk)
        assert {tuple(items[index]) for index in found.efficient[match].nonzero()[:, 0].tolist()} == efficient
        assert tuple(found.nash[match].tolist()) == nash
        assert tuple(found.kalai[match].tolist()) == kalai


def test_values_of_legal_splits_are_those_of_the_pieces_and_both_sides_have_ten_in_all() -> None:
    found = frontier(COUNTS, MINE, YOURS, (0.0, 0.0))
    assert torch.equal(found.legal, legal_splits(COUNTS))
    assert torch.equal(found.own, split_values(MINE).double())
    rest = mirrored(torch.arange(NUM_SPLITS).expand(len(COUNTS), -1).T, COUNTS).T  # (G, 125); meaningless if illegal
    expected = split_values(YOURS).gather(1, torch.where(found.legal, rest, 0)).double()
    assert torch.equal(torch.where(found.legal, found.other, 0.0), torch.where(found.legal, expected, 0.0))
    everything = split_index(COUNTS)[:, None]
    assert (found.own.gather(1, everything) == 10).all() and (found.other[:, 0] == 10).all()


def test_two_who_want_different_things_get_everything_they_want() -> None:
    found = points((1, 2, 2), (10, 0, 0), (0, 3, 2))
    assert found.efficient[0].nonzero().tolist() == [[25]]  # the book for one, all else for the other
    assert found.nash.tolist() == found.kalai.tolist() == [[10.0, 10.0]]


def test_walking_away_moves_the_points_to_whoever_has_more_to_lose() -> None:
    even = points((4, 1, 1), (2, 1, 1), (2, 1, 1))
    assert sorted(even.nash[0].tolist()) == [5.0, 5.0] and sorted(even.kalai[0].tolist()) == [5.0, 5.0]
    moved = points((4, 1, 1), (2, 1, 1), (2, 1, 1), (4.0, 0.0))
    assert moved.nash.tolist() == moved.kalai.tolist() == [[7.0, 3.0]]


def test_the_numbers_of_splits_count_up_through_the_items() -> None:
    items = split_items()
    assert items.tolist() == [list(taken) for taken in product(range(5), repeat=3)]
    assert torch.equal(split_index(items), torch.arange(NUM_SPLITS))


@pytest.mark.parametrize("counts", [(1, 2, 3), (4, 4, 4), (1, 1, 4), (0, 0, 0)])
def test_legal_splits_take_no_more_than_there_is(counts: Numbers) -> None:
    taken = {tuple(row) for row in split_items()[legal_splits(torch.tensor(counts))].tolist()}
    assert taken == set(product(*(range(n + 1) for n in counts)))
    batch = legal_splits(torch.tensor([counts, (4, 4, 4)]))
    assert torch.equal(batch[0], legal_splits(torch.tensor(counts))) and batch[1].all()


def test_two_mirrored_parts_are_all_there_is_and_no_deal_stays_no_deal() -> None:
    legal = legal_splits(COUNTS)
    match, split = legal.nonzero().T
    other = mirrored(split, COUNTS[match])
    assert torch.equal(split_items()[split] + split_items()[other], COUNTS[match])
    assert torch.equal(mirrored(other, COUNTS[match]), split)
    assert mirrored(torch.full((len(COUNTS),), NO_DEAL), COUNTS).eq(NO_DEAL).all()


def test_values_add_up_piece_by_piece() -> None:
    values = torch.tensor([[1, 2, 3], [0, 10, 0]])
    found = split_values(values)
    expected = [[worth(taken, tuple(row)) for taken in product(range(5), repeat=3)] for row in values.tolist()]
    assert found.tolist() == expected
    assert split_values(values, torch.tensor([[4, 1, 0]])).tolist() == [[6], [10]]
