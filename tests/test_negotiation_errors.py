"""What a negotiation refuses, by name and with nothing changed, or where that is wanted as the outcome `illegal`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from negotiating import (
    PLAIN,
    SIDES,
    VIEWS,
    alone,
    bargain,
    moved,
    play_randomly,
    propose,
    random_acts,
    random_choices,
    same_state,
    step_randomly,
    take,
)
from torch import Tensor

from advgames.dialogue.acts import ACCEPT, ASK, CHOOSE, END, INSIST, PASS
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import (
    ActionDeviceError,
    ActionDtypeError,
    ActionError,
    ActionShapeError,
    AdvgamesError,
    DataFileError,
    PhaseError,
    SettingError,
    UnknownNameError,
)
from advgames.games import NegotiationGame, NegotiationState

NAMES = PLAIN.vocabulary
WORDS, LONGEST = len(NAMES), PLAIN.grammar.max_words
SCENARIO = ((1, 2, 3), (8, 1, 0), (4, 0, 2))
ASKED = [ASK]
OFFERED = [propose(1, 0, 0)]
ENDED = [END]


def after(game: NegotiationGame, acts: list[int], words: str = "") -> NegotiationState:
    """One dialogue after these acts, and the first words of an utterance more."""
    state = game.reset([0])
    while int(state.turn[0]) < len(acts):
        (player,) = game.movers(state)
        act = torch.tensor([acts[int(state.turn[0])]])
        state, _, _ = game.step(state, {player: moved(game, state, player, act, act)})
    for word in words.split():
        (player,) = game.movers(state)
        state, _, _ = game.step(state, {player: torch.tensor([NAMES.id(word)])})
    return state


def said(*words: str, choice: int = NO_DEAL) -> list[int]:
    """A whole utterance as a move."""
    ids = NAMES.encode(words, strict=True)
    return [choice, *ids, *[NAMES.pad] * (LONGEST - len(ids))]


FREE = "free utterances"
ILLEGAL: list[tuple[str, list[int], str, Any, str]] = [
    # view, acts before, words before, the move, what the error says of it
    ("acts", [], "", propose(2, 0, 0), r"attacker: propose\(book=2, hat=0, ball=0\) is not legal"),
    ("acts", ASKED, "", propose(1, 2, 4), r"defender: propose\(book=1, hat=2, ball=4\) is not legal"),
    ("acts", [], "", ACCEPT, "attacker: accept is not legal"),
    ("acts", [*OFFERED, ASK], "", ACCEPT, "attacker: accept is not legal"),  # its own offer
    ("acts", [*OFFERED, propose(0, 0, 0), INSIST], "", INSIST, ""),
    ("acts", ASKED, "", INSIST, "defender: insist is not legal"),
    ("acts", [], "", PASS, "attacker: pass is not legal"),
    ("acts", [], "", CHOOSE, "attacker: choose"),
    ("acts", ENDED, "", CHOOSE + take(2, 0, 0), r"choose\(book=2, hat=0, ball=0\) is no legal choice of \[1, 2, 3\]"),
    ("acts", ENDED, "", PASS, "move 0 is no legal choice"),
    ("acts", ENDED, "", ASK, f"move {ASK} is no legal choice"),
    ("words", [], "", NAMES.eos, "an utterance needs a word before <eos>"),
    ("words", [], "", NAMES.pad, "an utterance needs a word before <eos>"),
    ("words", [], "", NAMES.unk, "'<unk>' cannot be word 1"),
    ("words", [], "", NAMES.you, "'YOU:' cannot be word 1"),
    ("words", [], "", NAMES.id("hat"), "'hat' cannot be word 1"),
    ("words", [], "i want", NAMES.selection, "'<selection>' cannot be word 3"),
    ("words", [], "i want", NAMES.eos, "'<eos>' cannot be word 3"),
    ("words", [], "i want", NAMES.id("4"), "'4' cannot be word 3"),  # there are no 4 of anything
    ("words", ASKED, "", NAMES.id("deal"), "defender: 'deal' cannot be word 1"),
    ("words", ASKED, "i", NAMES.pad, "defender: '<pad>' cannot be word 2"),
    ("words", [], "i", WORDS + take(0, 0, 0), "no choice can be made"),
    ("words", ENDED, "", NAMES.id("deal"), "is no legal choice"),
    ("words", ENDED, "", WORDS + take(0, 3, 0), r"choose\(book=0, hat=3, ball=0\) is no legal choice"),
    ("free words", [], "", NAMES.eos, "an utterance needs a word before <eos>"),
    ("free words", [], "", NAMES.them, "'THEM:' cannot be word 1"),
    ("free words", [], "hat hat", NAMES.selection, "'<selection>' cannot be word 3"),
    ("free words", [], " ".join(["hat"] * 15), NAMES.id("hat"), "'hat' cannot be word 16"),
    ("free words", [], "", WORDS + NO_DEAL, "no choice can be made"),
    ("utterances", [], "", said("i", "want", "2", "books", "<eos>"), "'i want 2 books' is no legal utterance"),
    ("utterances", [], "", said("hat", "<eos>"), "'hat' is no legal utterance"),
    ("utterances", [], "", said("deal", "<eos>"), "'deal' is no legal utterance"),
    ("utterances", [], "", said("deal", "<eos>", choice=3), "no choice can be made"),
    (FREE, [], "", said("<eos>"), "an utterance needs a word before <eos>"),
    (FREE, ASKED, "", said(), "defender: an utterance cannot be empty"),
    (FREE, [], "", said("hat", "<unk>", "<eos>"), "a word that cannot be spoken"),
    (FREE, [], "", said("hat", "YOU:", "<eos>"), "a word that cannot be spoken"),
    (FREE, [], "", said("hat", "<pad>", "hat", "<eos>"), "a word that cannot be spoken"),
    (FREE, [], "", [NO_DEAL, WORDS, *said("<eos>")[1:-1]], "a word that cannot be spoken"),
    (FREE, [], "", said("hat", "<selection>"), "<selection> is an utterance of its own"),
    (FREE, [], "", said("<selection>", "<selection>"), "<selection> is an utterance of its own"),
    (FREE, [], "", said(*["hat"] * LONGEST), f"ends with <eos> within {LONGEST} words"),
    (FREE, [], "", said("hat"), "a word that cannot be spoken"),
    (FREE, [], "", said("hat", "<eos>", "hat"), "nothing but padding may follow"),
    (FREE, [], "", said("<selection>", "<eos>"), "nothing but padding may follow"),
    (FREE, [], "", said("hat", "<eos>", choice=0), "no choice can be made"),
    (FREE, ENDED, "", said("hat", "<eos>"), "a choice, with no words"),
    (FREE, ENDED, "", said("hat", choice=0), "a choice, with no words"),
    (FREE, ENDED, "", said(choice=take(1, 2, 4)), r"choose\(book=1, hat=2, ball=4\) is no legal choice"),
    (FREE, ENDED, "", said(choice=NO_DEAL + 1), "choice 126 is no legal choice"),
]
ILLEGAL = [case for case in ILLEGAL if case[4]]
every_illegal_move = pytest.mark.parametrize(("view", "acts", "words", "move", "text"), ILLEGAL)


def step_with(
    game: NegotiationGame, state: NegotiationState, move: Any, match: int = 0
) -> tuple[str, NegotiationState, Tensor]:
    """(who made the move, the state after it, done); all others do nothing."""
    moves = {p: game.null_action(state, p) for p in game.movers(state)}
    player = next(p for p in moves if game.active(state, p)[match])
    moves[player][match] = torch.tensor(move)
    following, _, done = game.step(state, moves)
    return player, following, done


@every_illegal_move
def test_an_illegal_move_is_refused_by_name_and_changes_nothing(
    view: str, acts: list[int], words: str, move: Any, text: str
) -> None:
    game = bargain(*SCENARIO, **VIEWS[view])
    state = after(game, acts, words)
    kept = {n: v.clone() if isinstance(v, Tensor) else v for n, v in state.to_dict().items()}
    with pytest.raises(ActionError, match=rf"{text}.*match 0|match 0.*{text}|{text}.*to 0"):
        step_with(game, state, move)
    same_state(state, NegotiationState.from_dict(kept))
    game.step(state, {p: game.null_action(state, p) for p in game.movers(state)})


@every_illegal_move
def test_an_illegal_move_can_be_an_outcome(view: str, acts: list[int], words: str, move: Any, text: str) -> None:
    settings = {"walk_away_attacker": 1.5, "walk_away_defender": 0.5, "illegal": "outcome"}
    game = bargain(*SCENARIO, **VIEWS[view], **settings)
    state = after(game, acts, words)
    player, ended, done = step_with(game, state, move)
    assert ended.outcome.tolist() == [4] and ended.offender.tolist() == [SIDES[player]]
    assert ended.scores.tolist() == [[1.5, 0.5]] and done.all() and game.over(ended) and not ended.talking.any()
    if state.phase < 2:  # it was a turn, and no act
        assert ended.acts.tolist()[0] == [*acts, -1, *[-2] * (9 - len(acts))] and ended.turn.tolist() == [len(acts) + 1]
    assert (ended.words >= 0).all() and (ended.words < WORDS).all()
    assert not {NAMES.unk, NAMES.pad} & set(ended.words[0, : int(ended.length[0])].tolist())
    measured = game.measures(ended)
    assert measured["illegal"] == 1 and measured["agreement"] == 0 and measured["pareto"].isnan().all()
    spoken = measured["words"] - (state.length - (state.starts >= 0).sum(1))
    if view == "acts" and PASS < move < CHOOSE and state.phase < 2:  # an act, though not a legal one: it is heard
        assert spoken == (game.grammar.render(torch.tensor([move])) != NAMES.pad).sum()
    elif "is no legal utterance" in text:
        assert spoken == move.index(NAMES.eos) and f"{' '.join(NAMES.decode(move[1:])[:-1])}\n" in game.render_text(
            ended
        )
    else:
        assert spoken == 0, "nothing of it is kept"
    for seen, space in ((game.observe(ended, p), game.observation_space(p)) for p in game.players):
        assert set(seen) | {"text"} >= set(space)


@pytest.mark.parametrize("view", VIEWS)
def test_an_illegal_outcome_is_nobody_elses_business(view: str) -> None:
    """The other matches of the batch go on as they would have."""
    game = NegotiationGame(PLAIN, **VIEWS[view], illegal="outcome", max_turns=4)
    expected, _ = play_randomly(game, range(6))
    state, bad = game.reset(range(6)), None
    while not game.over(state):
        moves = {p: moved(game, state, p, *_random(game, state, p)) for p in game.movers(state)}
        for player in moves:
            if bad is None and state.turn[2] == 1 and game.active(state, player)[2]:
                bad = player
                moves[player][2] = 0  # pass, <eos> or the choice of nothing and <eos>
        state, _, _ = game.step(state, moves)
    assert bad is not None and state.outcome[2] == 4 and state.offender[2] == SIDES[bad]
    for match in (0, 1, 3, 4, 5):
        same_state(alone(state, match), alone(expected, match))


def _random(game: NegotiationGame, state: NegotiationState, player: str) -> tuple[Tensor, Tensor]:
    return random_acts(state, game.access(state, player).legal), random_choices(state, SIDES[player])


@pytest.mark.parametrize("order", [("attacker", "defender"), ("defender", "attacker")])
def test_where_both_choose_what_is_not_there_the_attacker_is_named(order: tuple[str, str]) -> None:
    """In whichever order the moves are handed over."""
    bad = torch.tensor([CHOOSE + take(4, 4, 4)])
    game = bargain(*SCENARIO, illegal="outcome")
    state, _, _ = game.step(after(game, ENDED), dict.fromkeys(order, bad))
    assert state.outcome.tolist() == [4] and state.offender.tolist() == [0]
    strict = bargain(*SCENARIO)
    with pytest.raises(ActionError, match="attacker"):
        strict.step(after(strict, ENDED), dict.fromkeys(order, bad))


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_speaking_out_of_turn_is_an_error_either_way(view: str, lenient: bool) -> None:
    """In a batch: whoever waits can only pass. Alone: the phase is not its own."""
    if view == "text" and not lenient:
        return
    game = NegotiationGame(PLAIN, **VIEWS[view], illegal="outcome" if lenient else "error", max_turns=3)
    state = game.reset(range(6))
    idle = int(state.opener.argmax())
    assert state.opener[idle] == 1 and game.movers(state) == ("attacker",)
    for act in (ASK, END):
        moves = moved(game, state, "attacker", torch.full((6,), ASK), torch.zeros(6, dtype=torch.int64))
        game.step(state, {"attacker": moves})
        moves[idle] = moved(game, alone(game.reset([0]), 0), "attacker", torch.tensor([act]), torch.tensor([0]))[0]
        with pytest.raises(ActionError, match=rf"attacker.*match {idle}"):
            game.step(state, {"attacker": moves})
    if not game.moves.masked:
        moves[idle] = game.moves.pass_all(moves)[0]
        moves[idle, 0] = 3
        with pytest.raises(ActionError, match=rf"attacker.*match {idle}"):
            game.step(state, {"attacker": moves})
    for wrong in ({"defender": moves}, {"attacker": moves, "defender": moves}, {}):
        with pytest.raises(PhaseError, match="belongs to attacker"):
            game.step(state, wrong)


@pytest.mark.parametrize("view", VIEWS)
def test_a_dialogue_that_has_ended_takes_nothing_more(view: str) -> None:
    """Not by itself, and not in a batch in which others still are to choose."""
    game = NegotiationGame(PLAIN, **VIEWS[view], illegal="outcome", max_turns=2)
    state, _ = play_randomly(game, range(3))
    with pytest.raises(PhaseError, match="ended"):
        game.step(state, {"attacker": game.null_action(state, "attacker")})
    state = game.reset(range(3))
    first = game.movers(state)[0]
    moves = game.null_action(state, first)
    speaker = int(game.active(state, first).long().argmax())
    moves[speaker] = 0 if not game.moves.masked else NAMES.eos if view != "acts" else PASS
    state, _, done = game.step(state, {first: moves})
    assert done[speaker] and state.outcome[speaker] == 4
    while state.phase < 2:
        state, _, _ = step_randomly(game, state)
    moves = {p: game.null_action(state, p) for p in game.players}
    game.step(state, moves)
    choice = moved(game, state, "attacker", torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))
    moves["attacker"][speaker] = choice[1 if speaker != 1 else 0]
    with pytest.raises(ActionError, match=rf"attacker: match {speaker} has ended"):
        game.step(state, moves)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("phase", ["talk", "choice"])
@pytest.mark.parametrize("view", ["acts", "words", "utterances"])
def test_what_is_no_move_at_all_is_an_error_either_way(view: str, phase: str, lenient: bool) -> None:
    game = bargain(*SCENARIO, **VIEWS[view], illegal="outcome" if lenient else "error")
    state = after(game, ENDED if phase == "choice" else [])
    moves = {p: game.null_action(state, p) for p in game.movers(state)}
    good = moves["attacker"]
    cases: list[tuple[Any, type[AdvgamesError], str]] = [
        (good.float(), ActionDtypeError, "expected a tensor of integers, got torch.float32"),
        (good.bool(), ActionDtypeError, "got torch.bool"),
        (good.to(torch.complex64), ActionDtypeError, "got torch.complex64"),
        (good.numpy(), ActionDtypeError, "got ndarray"),
        (good.tolist(), ActionDtypeError, "got list"),
        (None, ActionDtypeError, "got NoneType"),
        (good.repeat_interleave(2, 0), ActionShapeError, "expected a move of shape"),
        (good[None], ActionShapeError, "expected a move of shape"),
        (good[:0], ActionShapeError, "expected a move of shape"),
        (good.to("meta"), ActionDeviceError, "the move lies on meta, the game on cpu"),
        (torch.full_like(good, -1), ActionError, "from 0 to .*got .*-1.* in match 0"),
        (torch.full_like(good, game.moves.space.n), ActionError, f"from 0 to {game.moves.space.n - 1}"),
    ]
    if view == "utterances":
        cases.append((good[:, :-1], ActionShapeError, rf"shape \(1, {1 + LONGEST}\), got \(1, {LONGEST}\)"))
    for move, error, text in cases:
        with pytest.raises(error, match=rf"attacker.*{text}"):
            game.step(state, {**moves, "attacker": move})


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
@pytest.mark.parametrize("view", VIEWS)
def test_every_integer_type_will_do(view: str, dtype: torch.dtype) -> None:
    game = bargain(*SCENARIO, **VIEWS[view], max_turns=3)
    state = other = after(game, [])
    while not game.over(state):
        acts, choices = torch.tensor([min(ASK, 200)]), torch.tensor([3])
        moves = {p: moved(game, state, p, acts, choices) for p in game.movers(state)}
        if max(int(move.max()) for move in moves.values()) > 255 and dtype == torch.uint8:
            return  # a choice past all acts has no such number
        state, other = game.step(state, moves)[0], game.step(other, {p: m.to(dtype) for p, m in moves.items()})[0]
    same_state(state, other)


# Settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"actions": "text", "illegal": "error"}, "illegal='error'"),
        ({"actions": "acts", "grammar": False}, "actions='acts' are read by the grammar"),
        ({"actions": "text", "grammar": False}, "actions='text' are read by the grammar"),
        ({"actions": "tokens", "ending": "accept"}, "set grammar=True"),
        ({"actions": "tokens", "grammar": False, "ending": "accept"}, "set grammar=True"),
        ({"ending": "accept", "adversarial": True}, "needs ending='select'"),
        ({"max_words": LONGEST - 1}, f"max_words of at least {LONGEST}, got {LONGEST - 1}"),
        ({"actions": "tokens", "grammar": True, "max_words": 2}, f"max_words of at least {LONGEST}, got 2"),
        ({"actions": "tokens", "max_words": 1}, "max_words"),
        ({"max_words": 201}, "max_words"),
        ({"max_turns": 0}, "max_turns"),
        ({"max_turns": 2.5}, "max_turns"),
        ({"discount": 0.0}, "discount"),
        ({"discount": 1.1}, "discount"),
        ({"walk_away_attacker": -1.0}, "walk_away_attacker"),
        ({"walk_away_defender": float("nan")}, "walk_away_defender"),
        ({"walk_away_defender": float("inf")}, "walk_away_defender"),
        ({"actions": "words"}, "actions"),
        ({"unit": "letter"}, "unit"),
        ({"ending": "fight"}, "ending"),
        ({"first": "nobody"}, "first"),
        ({"payoff": "zero"}, "payoff"),
        ({"illegal": "ignored"}, "illegal"),
        ({"access_attacker": "gray-box"}, "access_attacker"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        NegotiationGame(PLAIN, **settings)


def test_what_is_left_open_is_filled() -> None:
    expected: dict[str, tuple[bool, str, int]] = {
        "acts": (True, "error", LONGEST),
        "tokens": (False, "error", 30),
        "text": (True, "outcome", LONGEST),
    }
    for actions, filled in expected.items():
        settings = NegotiationGame(PLAIN, actions=actions).settings
        assert (settings.grammar, settings.illegal, settings.max_words) == filled
    assert NegotiationGame(PLAIN, actions="tokens", grammar=True).max_words == LONGEST
    assert NegotiationGame(PLAIN, actions="tokens", grammar=True, max_words=40).max_words == 40


def test_unknown_names_are_named() -> None:
    with pytest.raises(UnknownNameError, match="max_turns"):
        NegotiationGame(PLAIN, max_turn=3)
    with pytest.raises(UnknownNameError, match="deal-or-no-deal"):
        NegotiationGame("deal-or-nodeal")
    with pytest.raises(UnknownNameError, match="epsilon_attacker"):
        NegotiationGame(PLAIN).reset([0], epsilon_attacker=[1.0])
    game = NegotiationGame(PLAIN)
    for ask in (game.observe, game.access):
        with pytest.raises(SettingError, match="attacker, defender, not 'judge'"):
            ask(game.reset([0]), "judge")
    for space in (game.action_space, game.observation_space):
        with pytest.raises(SettingError, match="not 'judge'"):
            space("judge")


@pytest.mark.parametrize("seeds", [[], [-1], [True], [1.5], ["1"]])
def test_seeds_are_numbers(seeds: list[Any]) -> None:
    with pytest.raises(SettingError, match="seed"):
        NegotiationGame(PLAIN).reset(seeds)


# Scenario files


def test_scenarios_are_read_from_a_file(tmp_path: Path) -> None:
    """Also for a task that is handed over as such."""
    file = tmp_path / "selfplay.txt"
    file.write_text("1 8 2 1 3 0\n1 4 2 0 3 2\n4 2 1 2 1 0\n4 0 1 5 1 5\n")
    state = NegotiationGame(PLAIN, scenarios=str(file)).reset(range(6))
    found = {(*c, *a, *d) for c, (a, d) in zip(state.counts.tolist(), state.values.tolist(), strict=True)}
    assert found == {(1, 2, 3, 8, 1, 0, 4, 0, 2), (4, 1, 1, 2, 2, 0, 0, 5, 5)}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read"),
        ("", "selfplay.txt"),
        ("1 8 2 1 3 0\n", "selfplay.txt"),
        ("1 8 2 1 3 0\n1 4 2 0 3\n", "line 2: expected six numbers"),
        ("1 8 2 1 3 x\n1 4 2 0 3 2\n", "line 1: expected six numbers"),
        ("1 8 2 1 5 0\n1 4 2 0 5 2\n", "line 1: expected at most 4 pieces"),
        ("1 11 2 1 3 0\n1 4 2 0 3 2\n", "line 1: .*values up to 10"),
        ("1 8 2 1 3 0\n1 4 2 0 2 2\n", "lines 1 and 2 are one scenario"),
    ],
)
def test_a_bad_scenario_file_is_refused_with_its_line(tmp_path: Path, content: str | None, text: str) -> None:
    file = tmp_path / "selfplay.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataFileError, match=text):
        NegotiationGame(PLAIN, scenarios=str(file))


def test_a_target_that_is_nowhere_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"negotiator 'none\.safetensors': there is no such file; 'sv' is"):
        NegotiationGame(PLAIN, target="none.safetensors")


def test_words_are_no_unit_of_acts() -> None:
    with pytest.raises(SettingError, match="unit='utterance' is about words"):
        NegotiationGame(PLAIN, actions="acts", unit="utterance")
