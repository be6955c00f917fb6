"""What a negotiator sees and may know: its own values, what was said, and nothing of the other side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from negotiating import PLAIN, SIDES, VIEWS, alone, step_randomly
from torch import Tensor

from advgames.access import require
from advgames.agents import make_agent
from advgames.dialogue.acts import END, INFORM, INSIST, KINDS, PROPOSE
from advgames.dialogue.speech import own_words
from advgames.errors import AccessError
from advgames.games import NegotiationGame, NegotiationState
from advgames.games.spaces import Box, Classes

every_view = pytest.mark.parametrize("view", VIEWS)


def states(game: NegotiationGame, matches: int = 12) -> Iterator[NegotiationState]:
    """Every state of a batch of random dialogues."""
    state = game.reset(range(matches))
    yield state
    while not game.over(state):
        state, _, _ = step_randomly(game, state)
        yield state


def of(view: str, **settings: Any) -> NegotiationGame:
    return NegotiationGame(PLAIN, **VIEWS[view], **{"max_turns": 6, **settings})


def history(state: NegotiationState, match: int, side: int) -> list[tuple[int, bool]]:
    """The acts of a match so far, and whether they were the side's own."""
    opener, turns = int(state.opener[match]), int(state.turn[match])
    return [(int(act), (opener + turn) % 2 == side) for turn, act in enumerate(state.acts[match, :turns])]


def kind_of(act: int) -> str:
    """An act's kind, by the borders of their numbers."""
    borders = ((1, "pass"), (INSIST, "propose"), (INSIST + 1, "insist"), (INSIST + 2, "accept"), (INSIST + 3, "ask"))
    return next((name for end, name in (*borders, (END, "inform"), (END + 1, "end")) if act < end), "?")


def read(acts: list[tuple[int, bool]], counts: list[int], values: list[int]) -> dict[str, list[Any]]:
    """What a side makes of the acts so far, one after another."""
    seen: dict[str, list[Any]] = {"kinds": [], "mine": [], "offers": [], "claims": [0, 0, 0]}
    last: dict[bool, list[int]] = {}
    for act, mine in acts:
        split, shares = act - PROPOSE, [-1, -1, -1]
        if 0 <= split < 125:
            taken = (split // 25, split // 5 % 5, split % 5)
            shares = [n if mine else c - n for c, n in zip(counts, taken, strict=True)]
            last[mine] = shares
        if INFORM <= act < END and not mine:
            seen["claims"][(act - INFORM) // 11] = 1 + (act - INFORM) % 11
        seen["kinds"].append(1 + KINDS.index(kind_of(act)))
        seen["mine"].append(int(mine))
        seen["offers"].append(shares)
    for name, mine in (("own_offer", True), ("other_offer", False)):
        seen[name] = [1 + n for n in last[mine]] if mine in last else [0, 0, 0]
    worth = {mine: sum(n * v for n, v in zip(shares, values, strict=True)) for mine, shares in last.items()}
    seen["offers_worth"] = [worth.get(mine, -1) for mine in (True, False)]
    return seen


@pytest.mark.parametrize("ending", ["select", "accept"])
def test_acts_are_seen_as_they_were_said(ending: str) -> None:
    game, met = of("acts", ending=ending), set()
    unsaid = {"kinds": 0, "mine": 0, "offers": [-1, -1, -1]}
    for state in states(game, 20):
        for player, side in SIDES.items():
            seen = game.observe(state, player)
            for match in range(20):
                acts = history(state, match, side)
                expected = read(acts, state.counts[match].tolist(), state.values[match, side].tolist())
                for name, value in expected.items():
                    assert seen[name][match].tolist() == value + [unsaid.get(name)] * (seen[name].shape[1] - len(value))
                    met |= {name} if any(value) else set()
    assert met == {"kinds", "mine", "offers", "claims", "own_offer", "other_offer", "offers_worth"}


def test_an_illegal_act_is_seen_as_other() -> None:
    game = of("acts", illegal="outcome", first="attacker")
    state = game.reset([0, 1])
    state, _, _ = game.step(state, {"attacker": torch.tensor([0, INFORM])})
    assert game.observe(state, "defender")["kinds"][:, 0].tolist() == [
        1 + KINDS.index("other"),
        1 + KINDS.index("inform"),
    ]


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "acts"])
def test_words_are_seen_from_both_sides(view: str) -> None:
    """Each side reads YOU: before its own utterances; what it says itself is what own_words marks."""
    game, names = of(view), PLAIN.vocabulary
    for state in states(game):
        seen = [game.observe(state, player) for player in game.players]
        for match in range(12):
            expected: list[list[int]] = [[], []]
            starts = [start for start in state.starts[match].tolist() if start >= 0]
            borders = [*starts, int(state.length[match])]
            for turn, (a, b) in enumerate(pairwise(borders)):
                side, said = (int(state.opener[match]) + turn) % 2, state.words[match, a + 1 : b].tolist()
                expected[side] += [names.you, *said]
                expected[1 - side] += [names.them, *said]
            for side in (0, 1):
                length = len(expected[side])
                assert seen[side]["length"][match].tolist() == [length]
                assert seen[side]["words"][match, :length].tolist() == expected[side]
                assert (seen[side]["words"][match, length:] == names.pad).all()
        mine = [own_words(s["words"], s["length"][:, 0], names)[0] for s in seen]
        spoken = (
            (torch.arange(game.width) < state.length[:, None])
            & (state.words != names.you)
            & (state.words != names.them)
        )
        assert torch.equal(mine[0] ^ mine[1], spoken) and not (mine[0] & mine[1]).any()


@every_view
def test_what_is_seen_and_granted_at_all_times(view: str) -> None:
    game = of(view)
    for state in states(game):
        for player, side in SIDES.items():
            seen, access, active = game.observe(state, player), game.access(state, player), game.active(state, player)
            choosing = state.phase == 2 and not game.over(state)
            assert torch.equal(seen["counts"], state.counts) and torch.equal(seen["own_values"], state.values[:, side])
            assert torch.equal(seen["to_do"], active * (2 if choosing else 1))
            assert torch.equal(seen["progress"][:, 0], (state.turn / 6).float())
            assert torch.equal(access.choosing, active & choosing) and torch.equal(
                access.speaking, active & (not choosing)
            )
            assert torch.equal(access.turn, state.turn) and torch.equal(access.acts, state.acts)
            for match in range(12):
                acts = history(state, match, side)
                assert access.mine[match].nonzero()[:, 0].tolist() == [n for n, (_, mine) in enumerate(acts) if mine]
                if not game.over(state):
                    talks = bool(state.talking[match]) and not choosing
                    speaker = (int(state.opener[match]) + len(acts)) % 2
                    turn = talks and speaker == side and player in game.movers(state)
                    assert bool(active[match]) == (turn or bool(choosing))


@every_view
@pytest.mark.parametrize("ending", ["select", "accept"])
def test_observations_lie_in_their_space(view: str, ending: str) -> None:
    if ending == "accept" and "free" in view:
        return
    game = of(view, ending=ending)
    for state in states(game):
        for player in game.players:
            space = game.observation_space(player)
            seen = game.observe(state, player)
            assert set(seen) == set(space) - {"text"}
            for name, value in seen.items():
                where = space[name]
                assert tuple(value.shape[1:]) == where.shape, name
                if isinstance(where, Classes):
                    assert value.dtype == torch.int64 and value.min() >= 0 and value.max() < where.n, name
                elif isinstance(where, Box):
                    assert value.dtype == game.dtype and where.low <= value.min() and value.max() <= where.high, name
                else:
                    assert set(value.unique().tolist()) <= {0, 1}, name


@every_view
def test_nothing_that_is_seen_depends_on_the_other_sides_values(view: str) -> None:
    """The same dialogue with other values for the other side; and with other choices made and scores paid."""
    game = of(view)
    for state in states(game):
        for player, side in SIDES.items():
            values = state.values.clone()
            values[:, 1 - side] = (values[:, 1 - side] + 1) % 11
            other = replace(state, values=values, scores=state.scores + 1, choices=state.choices.roll(1))
            before, after = game.observe(state, player), game.observe(other, player)
            assert all(torch.equal(before[name], after[name]) for name in before)
            known, still = tensors(game.access(state, player)), tensors(game.access(other, player))
            assert known.keys() == still.keys() and all(torch.equal(known[name], still[name]) for name in known)
            values = state.values.clone()
            values[:, side] = (values[:, side] + 1) % 11
            mine = game.observe(replace(state, values=values), player)
            assert not torch.equal(before["own_values"], mine["own_values"])


def tensors(access: Any) -> dict[str, Tensor]:
    return {name: value for name, value in vars(access).items() if isinstance(value, Tensor)}


@every_view
def test_what_is_seen_and_granted_are_copies(view: str) -> None:
    game = of(view)
    for state in states(game, 3):
        kept = {n: v.clone() for n, v in state.to_dict().items() if isinstance(v, Tensor)}
        for player in game.players:
            for tensor in (*game.observe(state, player).values(), *tensors(game.access(state, player)).values()):
                tensor.zero_()
        assert all(torch.equal(kept[n], v) for n, v in state.to_dict().items() if isinstance(v, Tensor))


def test_black_boxes_show_no_target() -> None:
    """Neither the model, its name, nor its goal is to be had; whoever needs them is refused by name."""
    game = of("free utterances", target="a_secret:model")
    access = game.access(game.reset([0, 1]), "attacker")
    assert access.level == "black-box" and "secret" not in repr(vars(access)) and access._target_context is None
    with pytest.raises(AccessError, match="attacker is granted black-box access, not the target's model"):
        _ = access.target
    with pytest.raises(AccessError, match="attacker is granted black-box access, not the target's goal"):
        _ = access.target_context
    with pytest.raises(AccessError, match="needs white-box access, but attacker is granted black-box"):
        require(access, "white-box", "it", "dialogue")
    with pytest.raises(AccessError, match="white-box"):
        make_agent("reactive").reset(access)


def test_the_target_knows_itself() -> None:
    game = of("free utterances")
    access = game.access(game.reset([0, 1]), "defender")
    assert access.level == "white-box"
    assert torch.equal(access.target_context[:, 1::2], access.values)


def test_the_match_seeds_do_not_follow_from_what_is_granted() -> None:
    """A player's own randomness is not the other's, and is fresh each round."""
    game = of("acts")
    state = game.reset([3, 4])
    draws = [game.access(replace(state, round=r), p).noise_seeds for r in (0, 1) for p in game.players]
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    again = game.access(game.reset([4]), "attacker").noise_seeds
    assert torch.equal(again, draws[0][1:])
    for draw in draws:
        assert not set(draw.tolist()) & set(state.seeds.tolist())


@pytest.mark.parametrize("player", SIDES)
def test_white_boxes_show_the_target_and_its_goal(player: str) -> None:
    """The target is the defender, whoever looks; it sees no more for the other's knowledge."""
    loaded = []
    game = of("free utterances", target="mine:model", access_attacker="white-box")
    state = game.reset(range(5))
    access = game.access(state, player)
    access.model = lambda name: loaded.append(name) or "the model"  # type: ignore[func-returns-value]
    require(access, "white-box", "it", "dialogue")
    assert not loaded and access.target == "the model" and loaded == ["mine:model"]
    assert torch.equal(access.target_context[:, ::2], state.counts)
    assert torch.equal(access.target_context[:, 1::2], state.values[:, 1])


def test_a_side_that_waits_is_told_so() -> None:
    game = of("acts")
    state = game.reset(range(8))
    for match in range(8):
        one = alone(state, match)
        seen = {p: game.observe(one, p) for p in game.players}
        opener = game.players[int(one.opener[0])]
        for player in game.players:
            waits = player != opener or one.opener[0] == 1  # in a batch the attacker's phase comes first
            assert seen[player]["to_do"].item() == (0 if waits else 1)
            assert seen[player]["action_mask"][0, 0] == waits
