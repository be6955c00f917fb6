"""Scripted negotiators do what their names say: exact outcomes, the same in every view, in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from negotiating import PLAIN, VIEWS, alone, bargain, propose, same_state, take
from torch import Tensor

from advgames.agents import AGENTS, NeuralNegotiator, Scripted, Targeted, make_agent
from advgames.dialogue.acts import ACCEPT, ASK, END, INFORM, INSIST, NUM_ACTS, PROPOSE, describe_act, legal_acts
from advgames.dialogue.phrases import wordings
from advgames.dialogue.scenarios import all_scenarios
from advgames.dialogue.scripted import POLICIES, WORDINGS, Knowledge, scripted_act, scripted_choice
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import AccessError, SettingError, UnknownNameError
from advgames.games import NegotiationGame, NegotiationState
from advgames.tasks.negotiations import NegotiationTask
from advgames.tasks.negotiators import save_negotiator
from advgames.training.dialogues import converse
from advgames.victims.negotiator import Negotiator, NegotiatorSizes

Numbers = tuple[int, ...]
AGREED, NO_AGREEMENT = 1, 3
SURE = [name for name in POLICIES if name != "random"]  # those that leave nothing to chance
every_policy = pytest.mark.parametrize("policy", POLICIES)
EVERY_SCENARIO = NegotiationTask("all", read=lambda split: [], words=PLAIN.words, pairs=all_scenarios)
COUNT = len(all_scenarios())


def held(game: NegotiationGame, attacker: str, defender: str, seeds: Sequence[int] = range(40)) -> NegotiationState:
    return converse(game, {"attacker": Scripted(attacker), "defender": Scripted(defender)}, seeds)


def told(state: NegotiationState, match: int = 0) -> list[int]:
    """The acts of a dialogue."""
    return [act for act in state.acts[match].tolist() if act > -2]


# The policies once more, for one dialogue, in plain Python: written from their descriptions


def parts(counts: Numbers) -> list[Numbers]:
    return list(product(*(range(n + 1) for n in counts)))


def worth(values: Numbers, items: Numbers) -> int:
    return sum(v * n for v, n in zip(values, items, strict=True))


def rest(counts: Numbers, items: Numbers) -> Numbers:
    return tuple(c - n for c, n in zip(counts, items, strict=True))


def least(counts: Numbers, values: Numbers, demand: float) -> Numbers:
    enough = [items for items in parts(counts) if worth(values, items) >= demand]
    return min(enough, key=lambda items: (worth(values, items), sum(items), items))


def smallest_halves(counts: Numbers, values: Numbers) -> list[Numbers]:
    found = []
    for items in parts(counts):
        fewer = [tuple(n - (i == j) for j, n in enumerate(items)) for i in range(3) if items[i]]
        if worth(values, items) >= 5 and all(worth(values, less) < 5 for less in fewer):
            found.append(items)
    return sorted(found, key=lambda items: (worth(values, items), sum(items), items))


def plain_talk(names: Sequence[str], counts: Numbers, values: Sequence[Numbers], turns: int) -> list[int]:
    """The acts of a dialogue between two policies, the first of which opens."""
    said: list[int] = []
    offers: list[list[Numbers]] = [[], []]
    newest, accepted = None, False
    for turn in range(turns):
        side = turn % 2
        mine, theirs = offers[side], offers[1 - side]
        got = [worth(values[side], rest(counts, items)) for items in theirs]
        act, enough = plain_act(names[side], counts, values[side], mine, got, said, turns)
        if accepted:
            act = END
        elif newest == 1 - side and got[-1] >= enough:
            act = ACCEPT
        elif turn == turns - 1:
            act = END
        said.append(act)
        if act == END:
            return said
        accepted = act == ACCEPT
        if act == INSIST:
            newest = side
        for items in parts(counts):
            if act == propose(*items):
                mine.append(items)
                newest = side
    return said


def plain_act(
    name: str, counts: Numbers, values: Numbers, mine: list[Numbers], got: list[int], said: list[int], turns: int
) -> tuple[int, float]:
    """(what the policy says if it does not answer to an offer, what an offer must be worth to be accepted)."""
    turn = len(said)
    if name in ("greedy", "stubborn"):
        wanted = tuple(n if v else 0 for n, v in zip(counts, values, strict=True))
        demand = wanted if name == "greedy" else least(counts, values, 8)
        return INSIST if mine else propose(*demand), worth(values, demand)
    if name == "fair":
        asked = turn == 1 and said[-1] == ASK
        if turn == 0 or asked:
            best = max(range(3), key=lambda item: (values[item], -item))
            return INFORM + 11 * best + values[best], 5
        halves = smallest_halves(counts, values)
        return (propose(*halves[len(mine)]) if len(mine) < len(halves) else INSIST), 5
    if name == "conceding":
        own_turns = [t for t in range(turns) if t % 2 == turn % 2]
        demand_now = 10 - 9 * own_turns.index(turn) / (len(own_turns) - 1)
    else:
        demand_now = (8 if mine else 10) - (got[-1] - got[0] if got else 0)
        demand_now = min(max(demand_now, 0), 10)
    opening = name == "tit-for-tat" and turn == 0
    return ASK if opening else propose(*least(counts, values, demand_now)), demand_now


@pytest.mark.parametrize("turns", [7, 10])
@pytest.mark.parametrize("names", list(product(SURE, SURE)), ids=" v ".join)
def test_policies_say_what_plain_python_says(names: tuple[str, str], turns: int) -> None:
    game = NegotiationGame(PLAIN, max_turns=turns, first="attacker")
    state = held(game, *names, range(12))
    for g in range(12):
        counts = tuple(state.counts[g].tolist())
        values = [tuple(side) for side in state.values[g].tolist()]
        expected = plain_talk(names, counts, values, turns)
        assert list(map(describe_act, told(state, g))) == list(map(describe_act, expected)), (counts, values)


# Outcomes that are known


def test_greed_meets_greed_without_an_agreement_unless_their_items_are_disjoint() -> None:
    """In every scenario of the published rules there is an item that both want."""
    state = held(NegotiationGame(EVERY_SCENARIO), "greedy", "greedy", range(COUNT))
    assert (state.outcome == NO_AGREEMENT).all() and not state.scores.any()
    apart = held(bargain((1, 2, 3), (10, 0, 0), (0, 2, 2)), "greedy", "greedy", [0])
    assert told(apart) == [propose(1, 0, 0), ACCEPT, END]
    assert apart.scores.tolist() == [[10.0, 10.0]]


@cache
def best_for_both() -> Tensor:
    """What the worse-off side gets in the split of each scenario in which that is the most, (N,), piece by piece."""
    found = []
    for row in all_scenarios().flatten(1).tolist():
        counts, one, other = (tuple(row[start:stop:2]) for start, stop in ((0, 6), (1, 6), (7, 12)))
        found.append(max(min(worth(one, items), worth(other, rest(counts, items))) for items in parts(counts)))
    return torch.tensor(found)


def in_order(game: NegotiationGame, state: NegotiationState) -> Tensor:
    """For each match the place of its scenario in :func:`all_scenarios`, (G,)."""
    places = {tuple(row): place for place, row in enumerate(all_scenarios().flatten(1).tolist())}
    rows = game.task.scenarios(state.seeds).flatten(1).tolist()
    return torch.tensor([places[tuple(row)] for row in rows])


@pytest.mark.parametrize("first", ["attacker", "defender"])
def test_fair_negotiators_agree_wherever_a_split_is_worth_half_to_both(first: str) -> None:
    game = NegotiationGame(EVERY_SCENARIO, first=first)
    state = held(game, "fair", "fair", range(COUNT))
    place = in_order(game, state)
    assert len(place.unique()) == COUNT
    possible = best_for_both()[place] >= 5
    assert 0.9 < possible.double().mean() < 1
    assert torch.equal(state.outcome == AGREED, possible)
    assert (state.scores[possible] >= 5).all()


def test_stubbornness_gets_its_demand_from_who_concedes() -> None:
    """At least 8; and the one who concedes is left with something, or there is no deal."""
    state = held(NegotiationGame(EVERY_SCENARIO), "stubborn", "conceding", range(COUNT))
    agreed = state.outcome == AGREED
    assert (state.scores[agreed, 0] >= 8).all() and (state.scores[agreed, 1] >= 1).all()
    for g in range(0, COUNT, 7):
        counts, mine, yours = (tuple(x) for x in (state.counts[g].tolist(), *state.values[g].tolist()))
        if worth(yours, rest(counts, least(counts, mine, 8))) >= 1:  # the last demand is no more than that
            assert agreed[g], (counts, mine, yours)


def test_conceding_falls_evenly_to_its_reservation() -> None:
    """Ten pieces worth 1 each, four turns of its own: it demands 10, 7, 4 and 1."""
    all_of_it = bargain((4, 4, 2), (1, 1, 1), (1, 1, 1), max_turns=7)
    state = held(all_of_it, "conceding", "greedy", [0])
    assert [sum(proposed(act)) for act in told(state)[0:6:2]] == [10, 7, 4]
    assert told(state)[6] == END and state.outcome.item() == NO_AGREEMENT  # it is offered nothing
    leaves_four = bargain((4, 4, 2), (1, 1, 1), (2, 0, 1), max_turns=7)
    state = held(leaves_four, "conceding", "greedy", [0])
    assert told(state)[3:] == [INSIST, ACCEPT, END] and state.scores.tolist() == [[4.0, 10.0]]


def proposed(act: int) -> Numbers:
    assert PROPOSE <= act < INSIST
    split = act - PROPOSE
    return split // 25, split // 5 % 5, split % 5


def knowledge(counts: Numbers, values: Numbers, acts: list[int], opens: bool, turns: int = 10) -> Knowledge:
    """What the side that opened, or the other one, knows after some acts."""
    mine = torch.tensor([[(turn % 2 == 0) == opens and turn < len(acts) for turn in range(turns)]])
    offers = {side: [a - PROPOSE for a in acts[side::2] if PROPOSE <= a < INSIST] for side in (0, 1)}
    own, other = (torch.tensor([offers[side][-1] if offers[side] else -1]) for side in ((0, 1) if opens else (1, 0)))
    pieces = torch.tensor([counts])
    return Knowledge(
        counts=pieces,
        values=torch.tensor([values]),
        acts=torch.tensor([acts + [-2] * (turns - len(acts))]),
        mine=mine,
        legal=legal_acts(pieces, own, other, torch.ones(1, dtype=torch.bool)),
        turn=torch.tensor([len(acts)]),
        max_turns=turns,
        seeds=torch.tensor([0]),
    )


def test_tit_for_tat_answers_concessions_and_retractions_one_for_one() -> None:
    """Ten pieces worth 1 each to it; it is left 1, 2, again 1, and then 6 of them."""
    said: list[int] = []
    answers = []
    for asked in ([], [propose(4, 4, 1)], [propose(4, 3, 1)], [propose(4, 4, 1)], [propose(4, 0, 0)]):
        said += asked
        answers += scripted_act("tit-for-tat", knowledge((4, 4, 2), (1, 1, 1), said, opens=True)).tolist()
        said.append(answers[-1])
    assert answers[0] == ASK and answers[-1] == ACCEPT
    assert [sum(proposed(act)) for act in answers[1:4]] == [10, 7, 8]


@pytest.mark.parametrize(
    ("acts", "opener_takes"),
    [
        ([], None),
        ([propose(1, 0, 2)], None),
        ([propose(1, 0, 2), ACCEPT], (1, 0, 2)),
        ([propose(1, 0, 2), ACCEPT, END], (1, 0, 2)),
        ([propose(1, 0, 2), propose(0, 2, 0), ACCEPT], (1, 0, 3)),
        ([propose(1, 0, 2), propose(0, 2, 0), INSIST, ACCEPT, ASK, -1], (1, 0, 2)),  # what was said later is nothing
        ([propose(1, 0, 2), ACCEPT, propose(1, 1, 1)], None),  # a new offer, not accepted
        ([propose(1, 0, 2), ACCEPT, INSIST], None),  # the old one again
        ([propose(1, 0, 2), -1, ACCEPT], None),  # nobody accepts an offer of its own
        ([propose(1, 0, 2), propose(4, 0, 0), ASK, ACCEPT], (1, 0, 2)),  # there are not so many: that was no offer
        ([INSIST, ACCEPT], None),  # on nothing
    ],
)
def test_what_is_chosen_is_the_last_offer_where_it_was_accepted(acts: list[int], opener_takes: Numbers | None) -> None:
    counts = (1, 2, 3)
    for opens in (True, False):
        choice = scripted_choice(knowledge(counts, (1, 1, 2), acts, opens)).item()
        if opener_takes is None:
            assert choice == NO_DEAL
        else:
            assert choice == take(*(opener_takes if opens else rest(counts, opener_takes)))


@pytest.mark.parametrize("policy", SURE)
def test_who_has_a_deal_ends_the_talk_and_who_has_the_last_word_does_too(policy: str) -> None:
    counts, values = (1, 2, 3), (1, 3, 1)
    for acts in ([propose(1, 0, 0), ACCEPT], [propose(0, 0, 0), ACCEPT, ASK]):
        known = knowledge(counts, values, acts, opens=len(acts) % 2 == 0)
        assert scripted_act(policy, known).tolist() == [END]
    none_left = [ASK] * 8 + [propose(1, 2, 3)]
    assert scripted_act(policy, knowledge(counts, values, none_left, opens=False)).tolist() == [END]


def test_a_random_negotiator_says_every_legal_act_equally_often() -> None:
    draws = 30_000
    known = knowledge((1, 1, 3), (2, 2, 2), [propose(1, 0, 1)], opens=False)
    many = known._replace(
        seeds=torch.arange(draws), **{n: getattr(known, n).expand(draws, -1) for n in ("acts", "mine", "legal")}
    )._replace(counts=known.counts.expand(draws, -1), values=known.values.expand(draws, -1))
    found = torch.bincount(scripted_act("random", many), minlength=many.legal.shape[1])
    legal = many.legal[0]
    assert not found[~legal].any()
    share = draws / int(legal.sum())
    freedom = int(legal.sum()) - 1
    statistic = ((found[legal] - share) ** 2 / share).sum()
    assert abs(statistic - freedom) < 5 * (2 * freedom) ** 0.5  # Pearson's, five deviations


# In every view, in any batch


@pytest.mark.parametrize("names", [("fair", "conceding"), ("tit-for-tat", "stubborn"), ("greedy", "random")], ids=str)
def test_every_view_has_the_same_dialogues(names: tuple[str, str]) -> None:
    """Where the wording is fixed these are the same words too; the acts are so in any case."""
    for wording, views in ((0, ["words", "free words", "free utterances", "text"]), (None, ["utterances"])):
        players = {p: Scripted(name, wording) for p, name in zip(("attacker", "defender"), names, strict=True)}
        expected = converse(NegotiationGame(PLAIN), players, range(25))
        for view in views:
            found = converse(NegotiationGame(PLAIN, **VIEWS[view]), players, range(25))
            same_state(found, expected, () if wording == 0 else ("words", "length", "starts"))
        assert (expected.outcome == AGREED).any() or "greedy" in names


@every_policy
@pytest.mark.parametrize("view", ["acts", "words"])
def test_a_match_is_the_same_alone(policy: str, view: str) -> None:
    game = NegotiationGame(PLAIN, **VIEWS[view])
    together = held(game, policy, "conceding", range(6))
    for g in (0, 3):
        same_state(held(game, policy, "conceding", [g]), alone(together, g), ("round",))


def test_an_agent_that_begins_anew_in_the_middle_of_an_utterance_goes_on_with_it() -> None:
    game = NegotiationGame(PLAIN, **VIEWS["words"])
    expected = held(game, "conceding", "tit-for-tat", range(8))
    state = game.reset(range(8))
    names = {"attacker": "conceding", "defender": "tit-for-tat"}
    while not game.over(state):
        moves = {}
        for player in game.movers(state):
            agent = Scripted(names[player])
            agent.reset(game.access(state, player))
            moves[player] = agent.act(game.observe(state, player), game.access(state, player))
        state, _, _ = game.step(state, moves)
    same_state(state, expected)


def test_wordings_are_drawn_evenly() -> None:
    assert {WORDINGS % len(wordings(act)) for act in range(NUM_ACTS)} == {0}


def test_all_wordings_are_used_and_all_of_an_act_mean_it() -> None:
    game = NegotiationGame(PLAIN, **VIEWS["utterances"])
    state = held(game, "fair", "conceding", range(300))
    openings = {tuple(words[1:3]) for words in state.words[state.acts[:, 0] >= PROPOSE].tolist()}
    assert len(openings) >= 8
    assert (state.acts != -1).all()


@every_policy
def test_where_accepting_ends_the_talk(policy: str) -> None:
    state = held(NegotiationGame(PLAIN, ending="accept"), policy, "conceding")
    assert ((state.outcome == AGREED) == (state.acts == ACCEPT).any(1)).all()
    if policy not in ("greedy", "random"):
        assert (state.outcome == AGREED).double().mean() > 0.8


# Among those who say other things


class Babbler(Scripted):
    """Says something that is no act, and goes on with its policy from its second utterance on."""

    def _worded(self, access: Any) -> Tensor:
        names = access.vocabulary
        words = super()._worded(access)
        babble = torch.full_like(words, names.pad)
        babble[:, :3] = torch.tensor([names.id("hat"), names.id("hat"), names.eos])
        return torch.where((access.turn < 2)[:, None], babble, words)


@every_policy
def test_what_is_no_act_is_passed_over(policy: str) -> None:
    for view in ("free words", "free utterances"):
        game = NegotiationGame(PLAIN, **VIEWS[view])
        state = converse(game, {"attacker": Babbler("conceding"), "defender": Scripted(policy)}, range(30))
        assert ((state.acts == -1).sum(1) == 1).all()
        assert not (state.outcome == 2).any()  # whoever chose, chose what fits
        if policy == "fair":
            assert (state.outcome == AGREED).double().mean() > 0.9


def test_too_few_words_for_the_grammar_are_refused() -> None:
    game = NegotiationGame(PLAIN, actions="tokens", grammar=False, max_words=8)
    with pytest.raises(AccessError, match="says up to 16 words, the game allows 8"):
        held(game, "fair", "fair", [0])


@pytest.mark.parametrize("wording", [-1, True, 1.0])
def test_bad_options_are_named(wording: Any) -> None:
    with pytest.raises(SettingError, match="wording"):
        Scripted("fair", wording)


# By name


def test_policies_are_agents_by_name() -> None:
    assert repr(make_agent("fair")) == "Scripted(policy='fair')"
    assert repr(make_agent("random-negotiator(wording=2)")) == "Scripted(policy='random', wording=2)"
    assert {name for name in POLICIES if name != "random"} | {"random-negotiator"} <= AGENTS.keys()
    for name in ("negotiator", "target", "transfer", "reactive", "preemptive", "ra-pa-da", "ra-pa-ta"):
        assert make_agent(name).kind == "dialogue" and (AGENTS[name].__doc__ or "").strip()
    assert make_agent("ra-pa-ta(samples=3)").otherwise == "transfer"  # type: ignore[attr-defined]
    assert make_agent("ra-pa-da").otherwise == "delayed"  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError, match="generous"):
        Scripted("generous")
    with pytest.raises(UnknownNameError, match="generous"):
        scripted_act("generous", knowledge((1, 2, 3), (1, 0, 3), [], opens=True))


def test_the_agent_target_plays_the_model_that_the_setting_names(tmp_path: Path) -> None:
    sizes = NegotiatorSizes(8, 4, 8, 8, 4)
    for seed in (0, 1):
        model = Negotiator(PLAIN.vocabulary, sizes, seed)
        model.load_state_dict({name: 20 * value for name, value in model.state_dict().items()})  # of strong opinions
        save_negotiator(model, tmp_path / f"{seed}.safetensors")
    files = [str(tmp_path / f"{seed}.safetensors") for seed in (0, 1)]
    settings = VIEWS["utterances"] | {"max_turns": 4}

    def words(target: str, agent: Any) -> Tensor:
        game = NegotiationGame(PLAIN, target=target, **settings)
        return converse(game, {"attacker": Scripted("fair", 0), "defender": agent}, range(5)).words

    agent = Targeted(temperature=0.7)
    assert torch.equal(words(files[0], agent), words(files[0], NeuralNegotiator(files[0], 0.7)))
    assert torch.equal(words(files[1], agent), words(files[0], NeuralNegotiator(files[1], 0.7)))
    assert not torch.equal(words(files[0], agent), words(files[1], agent))
    assert repr(agent) == "Targeted(temperature=0.7)"
