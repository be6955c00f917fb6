"""A person plays: what is typed becomes moves in every view, what cannot be read is asked for again with the reason."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from advgames.agents import Scripted, make_agent
from advgames.agents.human import Human
from advgames.cli import app
from advgames.dialogue.acts import ASK
from advgames.errors import ActionError, SettingError
from advgames.games import NegotiationGame, NegotiationState
from advgames.training import play
from advgames.training.dialogues import converse

VIEWS = {
    "acts": {"actions": "acts"},
    "words": {"actions": "tokens", "grammar": True},
    "utterances": {"actions": "tokens", "unit": "utterance", "grammar": True},
    "free words": {"actions": "tokens"},
    "text": {"actions": "text"},
}
every_view = pytest.mark.parametrize("view", VIEWS)
Held = Callable[..., NegotiationState]


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Held:
    """A dialogue between a person who types these lines, and a player who talks in fixed words."""

    def held(*lines: str, other: Any = None, seed: int = 0, **settings: Any) -> NegotiationState:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        game = NegotiationGame("bargains", **{"first": "attacker", **settings})
        return converse(game, {"attacker": Human(), "defender": other or Scripted("fair", 0)}, [seed])

    return held


@every_view
def test_a_typed_dialogue_is_the_same_in_every_view(view: str, hold: Held, capsys: pytest.CaptureFixture[str]) -> None:
    """Seed 0: fair says deal to an offer of 2 hats, and so ends it: 2 to the person, 8 to the other side."""
    state = hold("I want 2 hats", "end", "2 hats", **VIEWS[view])
    told = capsys.readouterr().out
    assert state.scores.tolist() == [[2.0, 8.0]] and state.outcome.tolist() == [1]
    assert state.turn.tolist() == [3]
    assert "You are the attacker. On the table: 2 books, 2 hats and 3 balls." in told
    assert "To you a book is worth 4, a hat 1 and a ball 0." in told
    assert told.count("They: deal") == 1 and told.index("They: deal") < told.index("The talk is over.")
    assert "book is worth 1" not in told  # the other side's values


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ending": "accept", "max_turns": 1}, "“deal” accepts their last offer and closes the match"),
        ({"adversarial": True}, "Only they choose in the end: you take what they leave."),
        ({"at_limit": "walk-away"}, "Where nobody says “end” there is no deal."),
    ],
)
def test_rules_out_of_the_ordinary_are_told(
    settings: dict[str, Any], told: str, hold: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    hold("end", "nothing", **settings)
    shown = capsys.readouterr().out
    assert told in shown and ("There is 1 utterance at most." in shown) == ("max_turns" in settings)
    hold("end", "nothing")
    assert told not in capsys.readouterr().out


def test_an_utterance_has_room_for_few_words(hold: Held, capsys: pytest.CaptureFixture[str]) -> None:
    """Free words, fewer than an utterance of the grammar can have."""
    settings = {"actions": "tokens", "unit": "utterance", "max_words": 4}
    state = hold("i want 2 hats", "i want hats", "end", "2 hats", "no deal", other=Human(), **settings)
    assert "That is too long: 3 words are the most" in capsys.readouterr().out
    assert state.turn.tolist() == [2] and state.outcome.tolist() == [3]


@every_view
def test_quitting_ends_the_talk_and_takes_no_deal(view: str, hold: Held) -> None:
    state = hold("i want 2 hats", "quit", walk_away_attacker=1.5, **VIEWS[view])
    assert state.outcome.tolist() == [3] and state.scores.tolist() == [[1.5, 0.0]]


@pytest.mark.parametrize("view", ["acts", "words", "text"])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "There is no word in that"),
        ("the mooon is blue", "Words that nobody here knows: mooon, blue"),
        ("hats want i", "That is not understood"),
        ("i want 4 hats", "Not now: there are only 2 books, 2 hats and 3 balls"),
        ("deal", "Not now: there is no offer of theirs to accept"),
        ("no", "Not now: nothing has been offered that you could refuse"),
    ],
)
def test_what_cannot_be_said_is_asked_again_with_the_reason(
    view: str, line: str, reason: str, hold: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    state = hold(line, "I want 2 hats", "<selection>", "2 hats", **VIEWS[view])
    told = capsys.readouterr().out
    assert f"{reason}. You can say such things as" in told and told.count("You say: ") == 3
    assert state.scores.tolist() == [[2.0, 8.0]]


def test_without_a_grammar_any_words_of_the_vocabulary_can_be_said(
    hold: Held, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["wibble wobble", "hats want i", "you " * 40, "<selection>", "no deal"]
    state = hold(*lines, actions="tokens", max_words=20)
    told = capsys.readouterr().out
    assert "Words that nobody here knows: wibble, wobble." in told
    assert "That is too long: 19 words are the most." in told and "not understood" not in told
    assert state.acts[0, 0] == -1 and state.turn.tolist() == [3]


@pytest.mark.parametrize("line", ["", "the moon", "3 hats", "1 hat and 1 hat"])
def test_a_choice_that_cannot_be_read_is_asked_again(line: str, hold: Held, capsys: pytest.CaptureFixture[str]) -> None:
    state = hold("i want 2 hats", "end", line, "item0=0 item1=2 item2=0")
    assert state.scores.tolist() == [[2.0, 8.0]]
    assert "or is more than there is: 2 books, 2 hats and 3 balls." in capsys.readouterr().out


@every_view
@pytest.mark.parametrize("lines", [(), ("i want 2 hats",), ("i want 2 hats", "end"), ("i want 2 hats", "end", "mist")])
def test_an_input_that_ends_is_an_error_by_name(view: str, lines: tuple[str, ...], hold: Held) -> None:
    with pytest.raises(ActionError, match="attacker: the input ended before the match did; 'quit' walks away"):
        hold(*lines, **VIEWS[view])


def test_a_person_can_sit_in_the_other_seat_and_choose_for_the_adversary(hold: Held) -> None:
    game = NegotiationGame("bargains", first="attacker", adversarial=True)
    hold("quit")  # puts an input in place
    sys.stdin = io.StringIO("end\neverything\n")
    state = converse(game, {"attacker": Scripted("stubborn"), "defender": Human()}, [0])
    assert state.scores.tolist() == [[0.0, 10.0]]


def test_ending_by_acceptance_asks_for_no_choice(hold: Held, capsys: pytest.CaptureFixture[str]) -> None:
    state = hold("i want 2 hats", ending="accept")
    assert state.scores.tolist() == [[2.0, 8.0]] and "You take" not in capsys.readouterr().out


def test_one_match_at_a_time() -> None:
    game = NegotiationGame("bargains")
    state = game.reset([0, 1])
    with pytest.raises(SettingError, match="one match at a time, got 2"):
        Human().reset(game.access(state, "attacker"))


def test_several_seeds_are_played_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("quit\n" * 3))
    records = play("negotiation", players={"attacker": "human"}, seeds=3, settings={"first": "attacker"})
    assert [record.seed for record in records] == [0, 1, 2]
    assert records[0].players == {"attacker": "human", "defender": "fair"} and records[0].task == "bargains"
    told = capsys.readouterr().out
    assert told.count("You are the attacker") == 3 and told.count("No deal: 0 to the attacker") == 3


def test_the_registry_has_a_person() -> None:
    assert isinstance(make_agent("human"), Human)


# The command line.


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def invoke(lines: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return invoke


FIRST = ("--set", "first=attacker")


def test_a_person_plays_from_the_command_line(typed: Any) -> None:
    code, out, err = typed("i want 2 hats\nend\n2 hats\n", "play", "negotiation", "--attacker", "human", *FIRST)
    assert code == 0 and err == ""
    shown = out.partition("You take: ")[2]
    assert "To the defender a book is worth 1, a hat 1 and a ball 2." in shown  # all is told in the end
    assert "Agreed: 2 to the attacker, 8 to the defender." in shown
    assert "negotiation on bargains: human vs fair, 1 seed" in shown


def test_with_json_the_dialogue_goes_to_stderr(typed: Any) -> None:
    code, out, err = typed("quit\n", "play", "negotiation", "--attacker", "human", *FIRST, "--json")
    (record,) = json.loads(out)
    assert code == 0 and record["seed"] == 0 and "You say: " in err


def test_no_input_is_one_line(typed: Any) -> None:
    code, _, err = typed("", "play", "negotiation", "--attacker", "human", *FIRST)
    assert code == 2 and err.count("\n") == 1 and "error: attacker: the input ended" in err


def test_a_person_plays_into_a_directory_one_match_at_a_time(typed: Any, tmp_path: Any) -> None:
    arguments = ("play", "negotiation", "--attacker", "human", *FIRST, "--seeds", "2", "--out", str(tmp_path / "run"))
    code, out, err = typed("quit\nquit\n", *arguments)
    assert code == 0, err
    assert "human vs fair, 2 seeds" in out


def test_moves_have_the_shape_that_the_game_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of a whole number."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("what do you want?\n"))
    game = NegotiationGame("bargains", first="attacker")
    state, person = game.reset([0]), Human()
    person.reset(game.access(state, "attacker"))
    move = person.act(game.observe(state, "attacker"), game.access(state, "attacker"))
    assert move.tolist() == [ASK] and move.dtype == torch.int64
