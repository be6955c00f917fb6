"""The negotiation game is one game: in every view, in any batch, saved and restored; and its masks are exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from negotiating import PLAIN, SIDES, VIEWS, alone, moved, play_randomly, random_acts, same_state, step_randomly
from torch import Tensor

from advgames.dialogue.acts import ACCEPT, END, INSIST, KINDS, PASS, PROPOSE, act_kind
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import ActionError
from advgames.games import NegotiationGame, NegotiationState

SEEDS = range(30)
OPENERS = [("attacker", 4), ("attacker", 5), ("defender", 4), ("defender", 5), ("random", 1), ("random", 7)]
every_view = pytest.mark.parametrize("view", VIEWS)


def game_of(view: str, **settings: Any) -> NegotiationGame:
    return NegotiationGame(PLAIN, **VIEWS[view], **settings)


# One game in all views


@pytest.mark.parametrize(("first", "turns"), OPENERS)
def test_every_view_reaches_the_same_state_by_the_same_acts(first: str, turns: int) -> None:
    settings: dict[str, Any] = {"first": first, "max_turns": turns, "discount": 0.9}
    expected, paid = play_randomly(game_of("acts", **settings), SEEDS)
    assert expected.outcome.unique().tolist() == [1, 2, 3]
    for view in VIEWS:
        found, total = play_randomly(game_of(view, **settings), SEEDS)
        same_state(found, expected)
        assert torch.equal(total, paid)


@pytest.mark.parametrize("view", [view for view in VIEWS if "free" not in view])
@pytest.mark.parametrize(("first", "turns"), OPENERS[:4])
def test_the_same_where_accepting_ends_the_talk(view: str, first: str, turns: int) -> None:
    settings: dict[str, Any] = {"first": first, "max_turns": turns, "ending": "accept", "discount": 0.8}
    settings |= {"walk_away_attacker": 1.5}
    expected, paid = play_randomly(game_of("acts", **settings), SEEDS)
    assert expected.outcome.unique().tolist() == [1, 3]
    found, total = play_randomly(game_of(view, **settings), SEEDS)
    same_state(found, expected)
    assert torch.equal(total, paid)


def test_random_dialogues_hold_every_kind_of_act() -> None:
    """Whatever is tested on them is tested on all acts."""
    state, _ = play_randomly(game_of("acts"), range(300))
    assert act_kind(state.acts[state.acts > -2]).unique().tolist() == [*range(1, len(KINDS) - 1)]
    assert state.opener.unique().tolist() == [0, 1]
    assert state.turn.unique().tolist() == [*range(1, 11)]


# Matches do not know one another


@every_view
@pytest.mark.parametrize("ending", ["select", "accept"])
def test_a_match_in_a_batch_is_the_match_alone(view: str, ending: str) -> None:
    if ending == "accept" and "free" in view:
        return
    game = game_of(view, ending=ending, max_turns=5, discount=0.9)
    batch, paid = play_randomly(game, range(4))
    assert len(batch.turn.unique()) > 1 and len(batch.opener.unique()) == 2
    for seed in range(4):
        state, total = play_randomly(game, [seed])
        same_state(state, alone(batch, seed))
        assert torch.equal(total[0], paid[seed])


@every_view
def test_one_match_alone_never_passes(view: str) -> None:
    game = game_of(view, max_turns=3)
    for seed in range(3):
        state = game.reset([seed])
        while not game.over(state):
            assert all(game.active(state, player).all() for player in game.movers(state))
            assert [p for p in game.players if game.active(state, p).any()] == list(game.movers(state))
            state, _, _ = step_randomly(game, state)


@every_view
def test_a_saved_dialogue_goes_on_as_if_nothing_had_happened(view: str) -> None:
    game = game_of(view, max_turns=4)
    expected, _ = play_randomly(game, range(8))
    state, steps = game.reset(range(8)), 0
    while not game.over(state):
        flat = {n: v.clone() if isinstance(v, Tensor) else v for n, v in state.to_dict().items()}
        restored = NegotiationState.from_dict(flat)
        same_state(restored, state)
        fresh = game_of(view, max_turns=4)
        state, _, _ = step_randomly(fresh, restored)
        steps += 1
    assert steps > 4
    same_state(state, expected)


@every_view
def test_a_step_leaves_the_state_before_it_as_it_was(view: str) -> None:
    game = game_of(view, max_turns=4)
    state = game.reset(range(8))
    while not game.over(state):
        kept = {n: v.clone() if isinstance(v, Tensor) else v for n, v in state.to_dict().items()}
        following, _, _ = step_randomly(game, state)
        same_state(state, NegotiationState.from_dict(kept))
        for player in game.players:
            for seen in game.observe(state, player).values():
                seen.fill_(7)
        same_state(state, NegotiationState.from_dict(kept))
        state = following


def test_seeds_decide_the_scenario_and_who_opens() -> None:
    game = game_of("acts")
    one, other = game.reset(range(400)), game.reset(range(400, 800))
    same_state(one, game.reset(range(400)))
    assert not torch.equal(one.values, other.values)
    assert 150 < int(one.opener.sum()) < 250
    assert not game_of("acts", first="attacker").reset(SEEDS).opener.any()
    assert game_of("acts", first="defender").reset(SEEDS).opener.all()
    for state in (one, other):
        assert torch.equal((state.values * state.counts[:, None]).sum(-1), torch.full((400, 2), 10))


# Masks


def points(game: NegotiationGame, seeds: range, steps: list[int]) -> list[NegotiationState]:
    """States of a batch after so many phases, and that in which the choices are to be made."""
    state, found, step = game.reset(seeds), [], 0
    while not game.over(state):
        if step in steps or state.phase == 2:
            found.append(state)
        state, _, _ = step_randomly(game, state)
        step += 1
    assert found[-1].phase == 2 or game.settings.ending == "accept"
    return found


def accepted(game: NegotiationGame, state: NegotiationState, player: str, match: int) -> list[int]:
    """1 for every number that the rules take as the player's move in one match, tried one after another."""
    legal = {p: game.null_action(state, p) for p in game.movers(state)}
    found = []
    for number in range(game.moves.size):
        move = legal[player].clone()
        move[match] = number
        try:
            game.step(state, {**legal, player: move})
            found.append(1)
        except ActionError:
            found.append(0)
    return found


@pytest.mark.parametrize(("view", "steps"), [("acts", [0, 2]), ("words", [0, 5]), ("free words", [0])])
def test_a_mask_says_exactly_which_moves_the_rules_take(view: str, steps: list[int]) -> None:
    """Every number, tried; in matches that move and in matches that wait or have ended."""
    game = game_of(view, max_turns=6)
    idle = 0
    for state in points(game, range(2), steps):
        for player in game.movers(state):
            mask, active = game.observe(state, player)["action_mask"], game.active(state, player)
            for match in range(2):
                assert accepted(game, state, player, match) == mask[match].tolist()
                if not active[match]:
                    assert mask[match].nonzero().tolist() == [[game.moves.passing]]
                    idle += 1
    assert idle


@pytest.mark.parametrize("ending", ["select", "accept"])
@pytest.mark.parametrize("view", ["acts", "words", "free words"])
def test_a_mask_says_exactly_which_moves_are_not_illegal(view: str, ending: str) -> None:
    """At every point of many dialogues: copies of a match, one for each number there is."""
    if ending == "accept" and view == "free words":
        return
    game = game_of(view, max_turns=6, illegal="outcome", ending=ending)
    numbers = torch.arange(game.moves.size)
    for seed in range(4):
        state = game.reset([seed])
        while not game.over(state):
            for player in game.movers(state):
                copies = copied(state, len(numbers))
                others = {p: game.null_action(copies, p) for p in game.movers(state)}
                after, _, done = game.step(copies, {**others, player: numbers})
                legal = game.observe(state, player)["action_mask"][0] == 1
                assert legal.any() and torch.equal(after.outcome == 4, ~legal)
                assert torch.equal(after.offender, torch.where(legal, -1, SIDES[player]))
                assert done[~legal].all()
            state, _, _ = step_randomly(game, state)


def copied(state: NegotiationState, copies: int) -> NegotiationState:
    flat = state.to_dict()
    return NegotiationState.from_dict(
        {n: v.repeat_interleave(copies, 0) if isinstance(v, Tensor) else v for n, v in flat.items()}
    )


@pytest.mark.parametrize("view", ["utterances", "text"])
def test_a_whole_utterance_is_taken_exactly_where_its_act_is_legal(view: str) -> None:
    game, acts = game_of(view, max_turns=6, illegal="outcome"), torch.arange(1, 163)
    for seed in range(4):
        state = game.reset([seed])
        while not game.over(state) and state.phase < 2:
            (player,) = game.movers(state)
            legal = game.access(state, player).legal[0]
            copies = copied(state, len(acts))
            after, _, _ = game.step(copies, {player: moved(game, copies, player, acts, acts)})
            assert torch.equal(after.outcome != 4, legal[acts])
            assert torch.equal(
                after.acts.gather(1, state.turn.expand(162)[:, None])[:, 0][legal[acts]], acts[legal[acts]]
            )
            state, _, _ = step_randomly(game, state)


def test_acts_are_legal_as_the_table_says() -> None:
    """Read from the dialogue in plain Python: what there is, who offered last, and what was offered."""
    game = game_of("acts", first="random")
    state = game.reset(SEEDS)
    while not game.over(state) and state.phase < 2:
        (player,) = game.movers(state)
        side, legal = SIDES[player], game.access(state, player).legal
        for match in range(len(SEEDS)):
            counts, last, offered = state.counts[match].tolist(), None, set()
            for turn, act in enumerate(state.acts[match, : int(state.turn[match])].tolist()):
                speaker = (int(state.opener[match]) + turn) % 2
                if PROPOSE <= act < INSIST:
                    offered.add(speaker)
                if PROPOSE <= act <= INSIST and speaker in offered:  # from who offered nothing it is a mere refusal
                    last = speaker
            expected = set(range(ACCEPT + 1, END + 1))
            for split in range(125):
                if all(n <= c for n, c in zip((split // 25, split // 5 % 5, split % 5), counts, strict=True)):
                    expected.add(PROPOSE + split)
            if offered:
                expected.add(INSIST)
            if last == 1 - side:
                expected.add(ACCEPT)
            assert set(legal[match].nonzero()[:, 0].tolist()) == expected
        state, _, _ = step_randomly(game, state)


@every_view
def test_the_null_action_is_always_legal_and_always_ends_a_dialogue(view: str) -> None:
    """Also in the middle of an utterance, and where it is not the player's turn."""
    for steps in range(0, 12, 3):
        game = game_of(view, max_turns=6)
        state = game.reset(range(20))
        for _ in range(steps):
            state = state if game.over(state) else step_randomly(game, state)[0]
        phases = 0
        while not game.over(state):
            for player in game.players:
                move, active = game.null_action(state, player), game.active(state, player)
                assert move.shape == ((20,) if game.moves.masked else (20, 1 + game.max_words))
                assert torch.equal(move[~active], game.moves.pass_all(active)[~active])
            state, _, _ = game.step(state, {p: game.null_action(state, p) for p in game.movers(state)})
            phases += 1
        assert phases <= 2 * game.max_words + 1
        assert (state.outcome != 4).all()
        assert steps or (state.outcome == 3).all()


def test_free_words_hold_what_is_an_act_and_what_is_not() -> None:
    """Without the grammar's mask an offer of more than there is, or a deal on nothing, is talk like any other."""
    for view in ("free words", "free utterances"):
        game = game_of(view, first="attacker", max_turns=4)
        acts = [PROPOSE + 124, ACCEPT, INSIST, PROPOSE]  # 4 of each; ok; no; nothing for me
        state = game.reset([0])
        while not game.over(state):
            (*_, player) = movers = game.movers(state)
            act = torch.tensor([acts[int(state.turn[0])] if state.talking[0] else 0])
            state, _, _ = game.step(state, {p: moved(game, state, p, act, torch.tensor([NO_DEAL])) for p in movers})
            for side in game.players:
                assert not (game.access(state, side).legal[0, ACCEPT] and state.turn[0] < 4), player
        assert state.acts.tolist() == [[-1, -1, -1, PROPOSE]] and state.offers.tolist() == [[-1, 0]]
        assert state.offerer.tolist() == [1]


@pytest.mark.parametrize("view", ["free words", "free utterances"])
def test_soup_of_words_is_talk_without_acts(view: str) -> None:
    """Any words that can be spoken may follow one another; what was said stands in the dialogue as it was said."""
    game = game_of(view, max_turns=3, first="attacker")
    names = game.vocabulary
    words = torch.arange(len(names))[torch.randperm(len(names), generator=torch.Generator().manual_seed(0))]
    soup = [w for w in words.tolist() if w not in (*names.unspeakable, names.eos, names.selection)]
    said = [[*soup[:15], names.eos], [soup[20], names.eos], [*soup[30:37], names.eos]]
    state = game.reset([5])
    while state.phase < 2:
        (player,) = game.movers(state)
        utterance = said[int(state.turn[0])]
        if game.moves.masked:
            assert game.observe(state, player)["action_mask"][0, utterance[int(state.said[0])]] == 1
            move = torch.tensor([utterance[int(state.said[0])]])
        else:
            move = torch.tensor([[NO_DEAL, *utterance, *[names.pad] * (16 - len(utterance))]])
        state, _, _ = game.step(state, {player: move})
    spoken = [names.you, *said[0], names.them, *said[1], names.you, *said[2]]
    assert state.words[0, : len(spoken)].tolist() == spoken and (state.words[0, len(spoken) :] == names.pad).all()
    assert state.length.tolist() == [len(spoken)] and state.starts.tolist() == [[0, 17, 20]]
    assert (state.acts == -1).all() and state.turn.tolist() == [3]


def test_an_utterance_that_grows_too_long_can_only_end() -> None:
    game = game_of("free words", first="attacker")
    state, names = game.reset([0]), game.vocabulary
    word = torch.tensor([names.id("hat")])
    for said in range(15):
        mask = game.observe(state, "attacker")["action_mask"][0]
        assert (
            mask[names.id("hat")] == 1 and mask[names.eos] == int(said > 0) and mask[names.selection] == int(said == 0)
        )
        state, _, _ = game.step(state, {"attacker": word})
    assert game.observe(state, "attacker")["action_mask"][0].nonzero().tolist() == [[names.eos]]
    state, _, _ = game.step(state, {"attacker": torch.tensor([names.eos])})
    assert game.movers(state) == ("defender",) and state.length.tolist() == [17]


def test_the_wording_of_an_act_does_not_matter() -> None:
    game = game_of("utterances", first="random", max_turns=6)
    state, other = game.reset(SEEDS), game.reset(SEEDS)
    while not game.over(state):
        moves, reworded = {}, {}
        for player in game.movers(state):
            act = random_acts(state, game.access(state, player).legal)
            moves[player] = reworded[player] = moved(game, state, player, act, torch.full_like(act, NO_DEAL))
            speaking = game.access(state, player).speaking
            if speaking.any():
                said = game.grammar.render(torch.where(speaking, act, PASS), torch.arange(len(SEEDS)) + state.turn)
                reworded[player] = torch.nn.functional.pad(said, (1, 0), value=NO_DEAL)
        state, other = game.step(state, moves)[0], game.step(other, reworded)[0]
    assert not torch.equal(state.words, other.words)
    same_state(state, other, ("words", "length", "starts"))
