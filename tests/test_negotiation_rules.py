"""How a negotiation ends and what it pays: known scenarios, OpenSpiel's `bargaining`, and plain searches by hand."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from negotiating import PLAIN, SIDES, VIEWS, bargain, play, play_randomly, propose, step_randomly, take
from torch import Tensor

from advgames.dialogue.acts import ACCEPT, ASK, END, INFORM, INSIST, PROPOSE
from advgames.dialogue.splits import MOST, NO_DEAL
from advgames.games import NegotiationGame, NegotiationState
from advgames.games.negotiation_state import OUTCOMES
from advgames.tasks.negotiations import NegotiationTask

AGREED, DISAGREED, NOT_AGREED, ILLEGAL = (
    OUTCOMES.index(name) for name in ("agreed", "disagreed", "no deal", "illegal")
)
SCENARIO = ((1, 2, 3), (8, 1, 0), (4, 0, 2))  # how many; worth to the attacker; to the defender
DEAL = [propose(1, 1, 0), ACCEPT, END]
Numbers = tuple[int, ...]


def ends(state: NegotiationState) -> tuple[int, list[float]]:
    return int(state.outcome[0]), state.scores[0].tolist()


# Both choose


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (((1, 1, 0), (0, 1, 3)), (AGREED, [9.0, 6.0])),
        (((0, 0, 0), (1, 2, 3)), (AGREED, [0.0, 10.0])),
        (((1, 2, 3), (0, 0, 0)), (AGREED, [10.0, 0.0])),
        (((1, 1, 0), (0, 1, 2)), (DISAGREED, [1.5, 0.5])),  # a ball is left over
        (((1, 1, 0), (0, 2, 3)), (DISAGREED, [1.5, 0.5])),  # a hat is taken twice
        (((1, 2, 3), (1, 2, 3)), (DISAGREED, [1.5, 0.5])),
        ((None, (1, 2, 3)), (NOT_AGREED, [1.5, 0.5])),
        (((1, 2, 3), None), (NOT_AGREED, [1.5, 0.5])),
        ((None, None), (NOT_AGREED, [1.5, 0.5])),
    ],
)
def test_sides_get_what_they_take_if_their_choices_fit_and_walk_away_else(
    view: str, choices: tuple[Numbers | None, Numbers | None], expected: tuple[int, list[float]]
) -> None:
    game = bargain(*SCENARIO, **VIEWS[view], walk_away_attacker=1.5, walk_away_defender=0.5)
    chosen = [NO_DEAL if items is None else take(*items) for items in choices]
    state, payoffs = play(game, DEAL, chosen)
    assert ends(state) == expected and state.choices.tolist() == [chosen]
    assert [payoffs["attacker"], payoffs["defender"]] == expected[1]
    assert state.turn.tolist() == [3] and not state.talking.any() and state.offender.tolist() == [-1]


def test_what_was_agreed_in_words_binds_nobody() -> None:
    state, _ = play(bargain(*SCENARIO), DEAL, [take(0, 0, 0), take(1, 2, 3)])
    assert ends(state) == (AGREED, [0.0, 10.0])


@pytest.mark.parametrize("first", ["attacker", "defender"])
@pytest.mark.parametrize("turns", [1, 2, 3, 10])
def test_the_turn_limit_brings_the_choices(first: str, turns: int) -> None:
    game = bargain(*SCENARIO, first=first, max_turns=turns)
    state, _ = play(game, [ASK] * turns, [take(1, 1, 0), take(0, 1, 3)])
    assert ends(state) == (AGREED, [9.0, 6.0]) and state.acts.tolist() == [[ASK] * turns]
    assert game.over(state) and state.turn.tolist() == [turns]


@pytest.mark.parametrize("spoken", range(4))
def test_whoever_ends_the_talk_brings_the_choices(spoken: int) -> None:
    state, _ = play(bargain(*SCENARIO, max_turns=8), [*[ASK] * spoken, END], [take(1, 2, 0), take(0, 0, 3)])
    assert ends(state) == (AGREED, [10.0, 6.0]) and state.acts.tolist()[0] == [
        *[ASK] * spoken,
        END,
        *[-2] * (7 - spoken),
    ]


def test_choices_are_made_at_once_and_after_all_talk() -> None:
    """In a batch all wait for the longest dialogue; nobody sees the other's choice."""
    game = NegotiationGame(PLAIN, max_turns=6)
    state = game.reset(range(40))
    while state.phase < 2:
        assert (state.choices == -1).all() and (state.outcome == 0).all()
        state, _, done = step_randomly(game, state)
        assert not done.any()
    assert game.movers(state) == ("attacker", "defender") and not state.talking.any()
    state, _, done = step_randomly(game, state)
    assert done.all() and game.over(state)


# The adversary takes what is left


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (take(0, 1, 3), (AGREED, [9.0, 6.0])),
        (take(0, 0, 0), (AGREED, [10.0, 0.0])),
        (take(1, 2, 3), (AGREED, [0.0, 10.0])),
        (NO_DEAL, (NOT_AGREED, [1.5, 0.5])),
    ],
)
def test_the_adversary_gets_the_complement(view: str, choice: int, expected: tuple[int, list[float]]) -> None:
    game = bargain(*SCENARIO, **VIEWS[view], adversarial=True, walk_away_attacker=1.5, walk_away_defender=0.5)
    state, payoffs = play(game, DEAL, [-1, choice])  # the attacker is not asked: its choice would be illegal
    assert ends(state) == expected and [payoffs["attacker"], payoffs["defender"]] == expected[1]
    assert game.phases[2] == ("defender",)


def test_with_an_adversary_they_always_agree_unless_the_target_refuses() -> None:
    state, _ = play_randomly(NegotiationGame(PLAIN, adversarial=True), range(500))
    refused = state.choices[:, 1] == NO_DEAL
    assert torch.equal(state.outcome, torch.where(refused, NOT_AGREED, AGREED)) and 10 < refused.sum() < 200


# Discount and payoffs


@pytest.mark.parametrize(("asked", "factor"), [(0, 0.9), (1, 0.9**2), (5, 0.9**6)])
def test_only_an_agreement_is_discounted_by_every_turn_after_the_second(asked: int, factor: float) -> None:
    settings = {"discount": 0.9, "walk_away_attacker": 2.0, "dtype": torch.float64}
    game = bargain(*SCENARIO, **settings)
    state, _ = play(game, [*[ASK] * asked, *DEAL], [take(1, 1, 0), take(0, 1, 3)])
    assert ends(state) == (AGREED, pytest.approx([9 * factor, 6 * factor]))
    state, _ = play(game, [*[ASK] * asked, *DEAL], [NO_DEAL])
    assert ends(state) == (NOT_AGREED, [2.0, 0.0])
    adversarial = bargain(*SCENARIO, adversarial=True, **settings)
    state, _ = play(adversarial, [*[ASK] * asked, *DEAL], [take(0, 1, 3)])
    assert ends(state) == (AGREED, pytest.approx([9 * factor, 6 * factor]))


def test_talk_of_one_or_two_turns_costs_nothing() -> None:
    for acts in ([END], [ASK, END]):
        state, _ = play(bargain(*SCENARIO, discount=0.5), acts, [take(1, 1, 0), take(0, 1, 3)])
        assert ends(state) == (AGREED, [9.0, 6.0])


@pytest.mark.parametrize("adversarial", [False, True])
def test_an_advantage_is_the_score_less_the_others(adversarial: bool) -> None:
    settings: dict[str, Any] = {"adversarial": adversarial, "discount": 0.9, "walk_away_attacker": 1.0}
    score, by_score = play_randomly(NegotiationGame(PLAIN, **settings), range(100))
    state, by_advantage = play_randomly(NegotiationGame(PLAIN, payoff="advantage", **settings), range(100))
    assert torch.equal(state.scores, score.scores) and torch.equal(by_score, score.scores)
    assert torch.equal(by_advantage, score.scores - score.scores.flip(1)) and by_advantage.any()


@pytest.mark.parametrize("ending", ["select", "accept"])
@pytest.mark.parametrize("view", ["acts", "words", "utterances"])
def test_a_match_is_paid_once_when_it_is_done_and_stays_done(view: str, ending: str) -> None:
    """Walk-away values above 0 make every outcome pay something."""
    game = NegotiationGame(
        PLAIN, **VIEWS[view], ending=ending, max_turns=7, walk_away_attacker=0.25, walk_away_defender=0.75
    )
    state = game.reset(range(40))
    was, times, ended = torch.zeros(40, dtype=torch.bool), torch.zeros(40), set()
    while not game.over(state):
        state, payoffs, done = step_randomly(game, state)
        paid = torch.stack([payoffs["attacker"], payoffs["defender"]], -1)
        assert done.dtype == torch.bool and (done | ~was).all()
        assert torch.equal(paid, torch.where((done & ~was)[:, None], state.scores, 0.0))
        times += paid.any(1)
        ended |= {state.round * 2 + state.phase} if (done & ~was).any() else set()
        was = done
    assert was.all() and times.eq(1).all()
    assert len(ended) > 3 if ending == "accept" else len(ended) == 1


# Accepting ends the talk


@pytest.mark.parametrize("view", [view for view in VIEWS if "free" not in view])
@pytest.mark.parametrize(
    ("acts", "expected", "choices"),
    [
        ([propose(1, 1, 0), ACCEPT], (AGREED, [9.0, 6.0]), [(1, 1, 0), (0, 1, 3)]),
        ([ASK, propose(0, 1, 3), ACCEPT], (AGREED, [9.0, 6.0]), [(1, 1, 0), (0, 1, 3)]),
        ([propose(1, 2, 3), propose(0, 0, 3), ACCEPT], (AGREED, [10.0, 6.0]), [(1, 2, 0), (0, 0, 3)]),
        ([propose(0, 0, 0), propose(1, 2, 3), INSIST, ACCEPT], (AGREED, [0.0, 10.0]), [(0, 0, 0), (1, 2, 3)]),
        ([propose(0, 0, 1), INFORM, INSIST, INFORM, propose(1, 0, 0), ACCEPT], (AGREED, [8.0, 6.0]), None),
        ([propose(1, 1, 0), INSIST, ASK, ACCEPT], (AGREED, [9.0, 6.0]), None),  # a refusal takes nothing off the table
        ([END], (NOT_AGREED, [1.5, 0.5]), None),
        ([propose(1, 1, 0), END], (NOT_AGREED, [1.5, 0.5]), None),
        ([propose(1, 2, 3)] * 10, (NOT_AGREED, [1.5, 0.5]), None),
        ([*[propose(1, 1, 0)] * 9, ACCEPT], (AGREED, [9.0, 6.0]), None),
    ],
)
def test_the_last_offer_is_what_is_accepted(
    view: str, acts: list[int], expected: tuple[int, list[float]], choices: list[Numbers] | None
) -> None:
    game = bargain(*SCENARIO, **VIEWS[view], ending="accept", walk_away_attacker=1.5, walk_away_defender=0.5)
    state, payoffs = play(game, acts)
    assert ends(state) == expected and [payoffs["attacker"], payoffs["defender"]] == expected[1]
    assert state.turn.tolist() == [len(acts)]
    if choices:
        assert state.choices.tolist() == [[take(*items) for items in choices]]
    if expected[0] == NOT_AGREED:
        assert state.choices.tolist() == [[NO_DEAL, NO_DEAL]]


# OpenSpiel


def spiel_task(instances: list[Any]) -> NegotiationTask:
    """OpenSpiel's instances as scenarios."""
    rows = [[[n for pair in zip(i.pool, values, strict=True) for n in pair] for values in i.values] for i in instances]
    return NegotiationTask("openspiel", read=lambda split: [], words=PLAIN.words, pairs=lambda: torch.tensor(rows))


@pytest.mark.parametrize(("discount", "turns"), [(1.0, 10), (0.9, 10), (0.9, 3), (0.5, 1)])
@pytest.mark.parametrize("agreeable", [0.12, 0.0])
def test_openspiels_bargaining_pays_the_same(discount: float, turns: int, agreeable: float) -> None:
    """Random legal games of offers and agreements, on OpenSpiel's own instances, one after another."""
    pyspiel = pytest.importorskip("pyspiel", reason="LIBRARY ABSENT: open_spiel is not installed", exc_type=ImportError)
    theirs = pyspiel.load_game("bargaining", {"discount": discount, "max_turns": turns})
    numbers = {(tuple(i.pool), *map(tuple, i.values)): n for n, i in enumerate(theirs.all_instances())}
    task = spiel_task([i for i in theirs.all_instances() if max(i.pool) <= MOST])
    settings: dict[str, Any] = {"ending": "accept", "first": "attacker", "discount": discount, "max_turns": turns}
    game = NegotiationGame(task, **settings, dtype=torch.float64)
    matches = 60 if agreeable else 10
    ours = game.reset(range(matches))
    states = [theirs.new_initial_state() for _ in range(matches)]
    for state, counts, values in zip(states, ours.counts.tolist(), ours.values.tolist(), strict=True):
        state.apply_action(numbers[(tuple(counts), *map(tuple, values))])
    named = {n: propose(*offer.quantities) for n, offer in enumerate(theirs.all_offers())}  # what the offerer takes
    named[states[0].agree_action()] = ACCEPT
    draw, lengths = random.Random(turns), set()
    while not game.over(ours):
        (player,) = game.movers(ours)
        legal, move = game.access(ours, player).legal, game.null_action(ours, player)
        for match, state in enumerate(states):
            assert state.is_terminal() != bool(game.active(ours, player)[match])
            if state.is_terminal():
                continue
            assert state.current_player() == SIDES[player]
            known = {action: named[action] for action in state.legal_actions()}
            mine = legal[match].nonzero()[:, 0].tolist()
            assert sorted(known.values()) == [act for act in mine if PROPOSE <= act < INSIST or act == ACCEPT]
            agree = state.agree_action()
            offers = [action for action in known if action != agree]
            action = agree if agree in known and draw.random() < agreeable else draw.choice(offers)
            move[match] = known[action]
            state.apply_action(action)
        ours, _, _ = game.step(ours, {player: move})
    for match, state in enumerate(states):
        assert state.is_terminal()
        assert ours.scores[match].tolist() == pytest.approx(state.returns(), rel=1e-12)
        assert bool(ours.outcome[match] == AGREED) == (state.agree_action() in state.history()[1:])
        lengths.add(int(ours.turn[match]))
    assert lengths == ({turns} if not agreeable or turns == 1 else {*range(2, turns + 1)})
    assert agreeable == 0.0 or turns == 1 or (ours.scores > 0).any()


# Whatever is played


SETTINGS: list[dict[str, Any]] = [
    {"actions": "acts"},
    {"actions": "acts", "max_turns": 1},
    {"actions": "acts", "adversarial": True, "discount": 0.7, "first": "defender"},
    {"actions": "acts", "payoff": "advantage", "walk_away_attacker": 3.0, "walk_away_defender": 1.0, "max_turns": 3},
    {"actions": "acts", "ending": "accept", "discount": 0.9},
    {"actions": "acts", "ending": "accept", "first": "defender", "max_turns": 5, "walk_away_defender": 4.0},
    {"actions": "tokens", "grammar": True, "max_turns": 4, "discount": 0.9},
    {"actions": "tokens", "grammar": True, "ending": "accept", "max_turns": 5},
    {"actions": "tokens", "grammar": False, "max_words": 5, "max_turns": 4},
    {"actions": "tokens", "grammar": False, "max_words": 2, "max_turns": 5, "adversarial": True},
    {"actions": "tokens", "unit": "utterance", "grammar": True, "max_turns": 4, "adversarial": True},
    {"actions": "text", "max_turns": 3},
]
MATCHES = 100


def masked_play(game: NegotiationGame, seeds: range) -> tuple[NegotiationState, Tensor]:
    """(finished state, payoffs) of players that draw uniformly from their masks; of acts, where there is none."""
    if not game.moves.masked:
        return play_randomly(game, seeds)
    state, draw = game.reset(seeds), torch.Generator().manual_seed(seeds.start)
    total = torch.zeros(len(seeds), 2)
    while not game.over(state):
        masks = {p: game.observe(state, p)["action_mask"] for p in game.movers(state)}
        moves = {p: torch.multinomial(mask.double(), 1, generator=draw)[:, 0] for p, mask in masks.items()}
        state, payoffs, _ = game.step(state, moves)
        total += torch.stack([payoffs["attacker"], payoffs["defender"]], -1)
    return state, total


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_no_outcome_gives_more_than_there_is(settings: dict[str, Any]) -> None:
    game = NegotiationGame(PLAIN, **settings)
    played = [masked_play(game, range(MATCHES))]
    if game.max_words >= game.grammar.max_words:
        played.append(play_randomly(game, range(MATCHES, 2 * MATCHES)))
        assert played[1][0].outcome.eq(AGREED).sum() > 10
    for state, paid in played:
        assert game.over(state) and not state.talking.any()
        assert torch.equal(paid, state.scores - state.scores.flip(1) * (game.settings.payoff == "advantage"))
        check_words(game, state)
        measured = game.measures(state)
        for match in range(MATCHES):
            check_match(game, state, match)
            check_measures(game, state, {name: float(value[match]) for name, value in measured.items()}, match)


def items_of(choice: int) -> Numbers:
    return (choice // 25, choice // 5 % 5, choice % 5)


def worth(items: Numbers, values: Numbers) -> int:
    return sum(n * v for n, v in zip(items, values, strict=True))


def check_match(game: NegotiationGame, state: NegotiationState, match: int) -> None:
    """Scores, choices and outcome of a match fit together, and nothing is given that is not there."""
    counts, outcome = tuple(state.counts[match].tolist()), int(state.outcome[match])
    choices, scores = state.choices[match].tolist(), state.scores[match].tolist()
    assert outcome in (AGREED, DISAGREED, NOT_AGREED) and state.offender[match] == -1
    assert 1 <= state.turn[match] <= game.settings.max_turns
    taken = [items_of(choice) for choice in choices if choice < NO_DEAL]
    assert all(n <= c for items in taken for n, c in zip(items, counts, strict=True))
    if outcome == AGREED:
        assert tuple(map(sum, zip(*taken, strict=True))) == counts and len(taken) == 2
        factor = game.settings.discount ** max(0, int(state.turn[match]) - 2)
        values = map(tuple, state.values[match].tolist())
        expected = [worth(items, value) * factor for items, value in zip(taken, values, strict=True)]
        assert scores == pytest.approx(expected, rel=1e-6) and all(0 <= score <= 10 * factor + 1e-5 for score in scores)
    else:
        assert scores == [game.settings.walk_away_attacker, game.settings.walk_away_defender]
        assert (outcome == NOT_AGREED) == (NO_DEAL in choices)
        assert len(taken) < 2 or tuple(map(sum, zip(*taken, strict=True))) != counts


def check_words(game: NegotiationGame, state: NegotiationState) -> None:
    """Dialogues are utterances in turn, each opened, closed and within bounds; and each is the act that stands."""
    names, utterances, acts = game.vocabulary, [], []
    for match, words in enumerate(state.words.tolist()):
        length, turns, starts = int(state.length[match]), int(state.turn[match]), state.starts[match].tolist()
        assert set(words[length:]) <= {names.pad} and names.pad not in words[:length]
        assert starts[turns:] == [-1] * (game.settings.max_turns - turns) and starts[0] == 0
        assert state.acts[match, turns:].eq(-2).all() and state.acts[match, :turns].gt(-2).all()
        for turn, (start, end) in enumerate(pairwise([*starts[:turns], length])):
            opening, *said = words[start:end]
            assert opening == (names.you, names.them)[(int(state.opener[match]) + turn) % 2]
            assert said == [names.selection] or (said[-1] == names.eos and 1 < len(said) <= game.max_words)
            assert not {*names.unspeakable, names.eos, names.selection} & set(said[:-1])
            utterances.append(said + [names.pad] * (game.max_words - len(said)))
            acts.append(int(state.acts[match, turn]))
            assert (acts[-1] == END) == (said == [names.selection])
    for act, meaning in zip(acts, game.grammar.parse(torch.tensor(utterances)).tolist(), strict=True):
        assert act == meaning if game.settings.grammar else act in (meaning, -1)


@cache
def searched(counts: Numbers, mine: Numbers, yours: Numbers, walk: Numbers) -> Any:
    """(values of all splits, the efficient among them, the Nash point, the Kalai-Smorodinsky point), by hand.

    max() keeps the first of equals, and product() counts up as the numbers of the splits do.
    """
    values = []
    for taken in product(*(range(n + 1) for n in counts)):
        rest = tuple(n - k for n, k in zip(counts, taken, strict=True))
        values.append((worth(taken, mine), worth(rest, yours)))
    efficient = [(a, b) for a, b in values if not any(x >= a and y >= b and (x, y) != (a, b) for x, y in values)]
    possible = [(a, b) for a, b in efficient if a >= walk[0] and b >= walk[1]]
    if not possible:
        return values, efficient, None, None
    reach = [max(point[side] - walk[side] for point in possible) for side in (0, 1)]

    def share(point: Numbers) -> Fraction:
        gains = (point[side] - walk[side] for side in (0, 1))
        return min(Fraction(gain, most) if most else Fraction(0) for gain, most in zip(gains, reach, strict=True))

    nash = max(possible, key=lambda p: ((p[0] - walk[0]) * (p[1] - walk[1]), sum(p)))
    return values, efficient, nash, max(possible, key=lambda p: (share(p), sum(p)))


def check_measures(game: NegotiationGame, state: NegotiationState, found: dict[str, float], match: int) -> None:
    """Every measure, from the match's own history."""
    mine, yours = (tuple(side) for side in state.values[match].tolist())
    walk = (int(game.settings.walk_away_attacker), int(game.settings.walk_away_defender))
    scores, turns, agreed = state.scores[match].tolist(), int(state.turn[match]), state.outcome[match] == AGREED
    assert [found["score_attacker"], found["score_defender"]] == scores
    assert found["advantage"] == pytest.approx(scores[0] - scores[1], abs=1e-12)
    assert found["positive_advantage"] == (scores[0] > scores[1]) and found["agreement"] == agreed
    assert found["illegal"] == 0 and found["turns"] == turns
    assert found["words"] == sum(w not in (game.vocabulary.you, game.vocabulary.them) for w in words_of(state, match))
    if game.settings.grammar:
        untrue = [0, 0]
        for turn, act in enumerate(state.acts[match, :turns].tolist()):
            item, claimed = divmod(act - INFORM, 11)
            side = (int(state.opener[match]) + turn) % 2
            untrue[side] += INFORM <= act < END and (mine, yours)[side][item] != claimed
        assert [found["untrue_attacker"], found["untrue_defender"]] == untrue
    bargaining = ("pareto", "pareto_gain", "nash_distance", "kalai_distance")
    if not agreed:
        assert all(found[name] != found[name] for name in bargaining)
        return
    counts, own = tuple(state.counts[match].tolist()), items_of(int(state.choices[match, 0]))
    point = (worth(own, mine), worth(items_of(int(state.choices[match, 1])), yours))
    values, efficient, nash, kalai = searched(counts, mine, yours, walk)
    assert found["pareto"] == (point in efficient)
    assert found["pareto_gain"] == max(a + b for a, b in values if a >= point[0] and b >= point[1]) - sum(point)
    for name, goal in (("nash_distance", nash), ("kalai_distance", kalai)):
        if goal is None:
            assert found[name] != found[name]
        else:
            distance = ((point[0] - goal[0]) ** 2 + (point[1] - goal[1]) ** 2) ** 0.5
            assert found[name] == pytest.approx(distance, abs=1e-12)


def words_of(state: NegotiationState, match: int) -> list[int]:
    return [int(word) for word in state.words[match, : int(state.length[match])]]


def test_words_are_counted_in_dialogues_that_are_not_over_too() -> None:
    game = NegotiationGame(PLAIN, **VIEWS["words"], max_turns=4)
    state, counted = game.reset(range(6)), set()
    while not game.over(state):
        words = game.measures(state)["words"].tolist()
        opening = {PLAIN.vocabulary.you, PLAIN.vocabulary.them}
        assert words == [sum(word not in opening for word in words_of(state, match)) for match in range(6)]
        counted |= set(words)
        state, _, _ = step_randomly(game, state)
    assert {0.0, 1.0, 2.0} < counted


def test_where_nobody_gains_by_an_agreement_there_is_no_point_to_aim_at() -> None:
    settings = {"walk_away_attacker": 9.5, "walk_away_defender": 9.5}
    game = bargain(*SCENARIO, **settings)
    state, _ = play(game, DEAL, [take(1, 1, 0), take(0, 1, 3)])
    measured = game.measures(state)
    assert ends(state) == (AGREED, [9.0, 6.0]) and measured["pareto"] == 0 and measured["pareto_gain"] == 1
    assert measured["nash_distance"].isnan() and measured["kalai_distance"].isnan()
    state, _ = play(game, DEAL, [take(1, 2, 0), take(0, 0, 3)])
    assert game.measures(state)["pareto"] == 1


def test_bargaining_points_of_a_known_scenario() -> None:
    """(10, 6) gives the largest product, 60; it is the only efficient split that leaves both 6 or more."""
    game = bargain(*SCENARIO)
    for mine, yours, distance in (
        ((1, 2, 0), (0, 0, 3), 0.0),
        ((1, 0, 0), (0, 2, 3), 2.0),
        ((0, 0, 0), (1, 2, 3), 116**0.5),
    ):
        measured = game.measures(play(game, DEAL, [take(*mine), take(*yours)])[0])
        assert measured["nash_distance"].item() == pytest.approx(distance)
        assert measured["kalai_distance"].item() == pytest.approx(distance)


def test_at_the_limit_both_choose_or_both_walk_away() -> None:
    """Somebody who ends the talk with the last utterance has ended it: then there are choices all the same."""
    for at_limit, last, outcome, scores in (
        ("choices", propose(0, 1, 1), 0, [0.0, 0.0]),
        ("walk-away", propose(0, 1, 1), 3, [1.5, 0.5]),
        ("walk-away", END, 0, [0.0, 0.0]),
    ):
        game = bargain(
            (2, 2, 1),
            (1, 2, 4),
            (3, 1, 2),
            max_turns=2,
            at_limit=at_limit,
            walk_away_attacker=1.5,
            walk_away_defender=0.5,
        )
        state = game.reset([0])
        for player, act in (("attacker", propose(1, 1, 1)), ("defender", last)):
            state, paid, done = game.step(state, {player: torch.tensor([act])})
        assert state.outcome.tolist() == [outcome] and state.scores[0].tolist() == scores, at_limit
        assert [paid[p].item() for p in game.players] == scores and bool(done) is (outcome > 0)
        assert game.over(state) is (outcome > 0)
