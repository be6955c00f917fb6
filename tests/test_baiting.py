"""Adversaries at the table: what they say when, in either unit of words, and what they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from negotiating import PLAIN
from safetensors.torch import save_file
from test_negotiator import WORDS, model

from advgames.agents import Agent, make_agent
from advgames.agents.baiting import ArbitraryTurn, Preemptive, Reactive, Transfer
from advgames.agents.negotiators import NeuralNegotiator
from advgames.attacks.word_search import Talks, Target, WordSearch, choice_gains
from advgames.dialogue import speech
from advgames.dialogue.speech import turned
from advgames.dialogue.splits import NO_DEAL
from advgames.errors import AccessError, DataFileError, SettingError, UnknownNameError, VictimError
from advgames.games import NegotiationGame, NegotiationState
from advgames.tasks.negotiators import save_negotiator
from advgames.training.dialogues import converse
from advgames.victims.negotiator import Negotiator, NegotiatorSizes

SENTENCE = "i want 2 hats"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a target."""
    file = tmp_path_factory.mktemp("target") / "target.safetensors"
    save_negotiator(model(seed=7), file)
    return str(file)


def game(target: str = "sv", **settings: Any) -> NegotiationGame:
    common = {"actions": "tokens", "unit": "utterance", "max_turns": 6, "max_words": 6, "adversarial": True}
    return NegotiationGame(PLAIN, **{**common, "access_attacker": "white-box", "target": target, **settings})


def talk(attacker: Agent, target: str, seeds: range = range(6), **settings: Any) -> tuple[NegotiationGame, Any]:
    play = game(target, **settings)
    return play, converse(play, {"attacker": attacker, "defender": NeuralNegotiator(target)}, seeds)


def utterances(play: NegotiationGame, state: NegotiationState, match: int) -> list[list[str]]:
    """What the attacker said, in order, without ends."""
    return [said.split() for mine, said in speech.utterances(state.words[match].tolist(), play.vocabulary) if mine]


ADVERSARIES = {
    "transfer": lambda own: Transfer(own, turns=1, sentences=[SENTENCE]),
    "reactive": lambda own: Reactive(own, n=2),
    "preemptive": lambda own: Preemptive(own, n=2, samples=2),
    "ra-pa-da": lambda own: ArbitraryTurn(own, samples=2, enough_reactive=-5.0, enough_preemptive=-2.0),
    "ra-pa-ta": lambda own: ArbitraryTurn(own, samples=2, otherwise="transfer", sentences=[SENTENCE]),
}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries_always_agree_and_words_are_theirs_in_either_unit(name: str, target: str) -> None:
    """Word by word or utterance by utterance, the same dialogues; each match as it is alone."""
    own = model(seed=8)
    play, whole = talk(ADVERSARIES[name](own), target, range(4))
    _, single = talk(ADVERSARIES[name](own), target, range(4), unit="word")
    assert torch.equal(whole.words, single.words) and torch.equal(whole.scores, single.scores)
    assert (whole.outcome > 0).all() and not (whole.outcome == 4).any()
    agreed = play.measures(whole)["agreement"]
    assert torch.equal(agreed.bool(), whole.choices[:, 1] < 125)
    for match in (0, 3):
        _, alone = talk(ADVERSARIES[name](own), target, range(match, match + 1))
        assert torch.equal(alone.words[0], whole.words[match])


def test_only_the_target_ends_the_talk_but_after_a_preemptive_attack(target: str) -> None:
    own = model(seed=8)
    for name in ("transfer", "reactive", "ra-pa-da"):
        agent = ADVERSARIES[name](own)
        if name == "ra-pa-da":
            agent.enough_preemptive = -torch.inf
        play, state = talk(agent, target, range(8))
        assert all(["<selection>"] not in utterances(play, state, g) for g in range(8)), name
    play, state = talk(Preemptive(own, n=2, samples=1), target, range(12))
    attacked = [utterances(play, state, g) for g in range(12)]
    third = [said[2] for said in attacked if len(said) > 2]
    assert third and all(said == ["<selection>"] for said in third) and max(map(len, attacked)) == 3


def test_reactive_says_what_the_search_finds_from_its_turn_on(target: str) -> None:
    own = model(seed=8)
    agent, defender = Reactive(own, n=2), NeuralNegotiator(target)
    plain = ADVERSARIES["reactive"](own)
    plain.n = 99  # the same regular speech, never changed
    play = game(target, first="attacker")
    state = play.reset(range(6))
    for player, agents in (("attacker", (agent, plain)), ("defender", (defender,))):
        for each in agents:
            each.reset(play.access(state, player))
    checked = 0
    while not play.over(state):
        seen, access = play.observe(state, "attacker"), play.access(state, "attacker")
        moves = {}
        for player in play.movers(state):
            who = agent if player == "attacker" else defender
            moves[player] = who.act(play.observe(state, player), play.access(state, player))
        if play.movers(state) == ("attacker",):
            base = plain.act(seen, access)[:, 1:]
            rows = access.speaking.nonzero()[:, 0]
            if state.round == 0:
                assert torch.equal(moves["attacker"][:, 1:], base)
            elif len(rows):
                gain = choice_gains(state.counts, state.values[:, 0], state.values[:, 1])
                talks = Talks(turned(seen["words"], WORDS), state.length, play.context(state, 1), gain).take(rows)
                found = WordSearch(Target(play.model(target))).reactive(talks, base[rows])
                assert torch.equal(moves["attacker"][rows, 1:], found.words)
                checked += len(rows)
        state, _, _ = play.step(state, moves)
    assert checked and (agent.queries > 0).any()


def test_transfer_plugs_its_sentences_in(target: str, tmp_path: Path) -> None:
    play, state = talk(Transfer(model(seed=8), turns=1, sentences=[SENTENCE]), target, range(10))
    said = [utterances(play, state, g) for g in range(10)]
    assert any(len(each) > 1 for each in said)
    assert all(later == SENTENCE.split() for each in said for later in each[1:])
    file = tmp_path / "list.txt"
    file.write_text(f"{SENTENCE}\n\ndeal\n")
    play, state = talk(Transfer(model(seed=8), turns=0, sentences=str(file)), target, range(20))
    heard = {" ".join(each) for g in range(20) for each in utterances(play, state, g)}
    assert heard == {SENTENCE, "deal"}


def test_arbitrary_turns_attack_where_that_promises_enough(target: str) -> None:
    """Never, always by reaction, or otherwise: by its thresholds alone."""
    own = model(seed=8)
    never = {"enough_reactive": -torch.inf, "enough_preemptive": -torch.inf, "samples": 1}
    play, state = talk(ArbitraryTurn(own, otherwise="transfer", sentences=[SENTENCE], **never), target)
    said = [each for g in range(6) for each in utterances(play, state, g)]
    assert said and all(each == SENTENCE.split() for each in said)
    always = ArbitraryTurn(own, enough_reactive=torch.inf, stop=-100.0, samples=1)
    _, one = talk(always, target)
    _, two = talk(Reactive(own, n=1, stop=-100.0), target)
    assert torch.equal(one.words, two.words)
    closing = ArbitraryTurn(own, enough_reactive=-torch.inf, enough_preemptive=torch.inf, samples=1)
    play, state = talk(closing, target, range(12))  # the first utterance is the attack, the second the end
    second = [said[1] for said in (utterances(play, state, g) for g in range(12)) if len(said) > 1]
    assert second and all(said == ["<selection>"] for said in second)


def test_a_closing_talk_is_part_of_the_memory(target: str) -> None:
    """Saved after the attack and restored in a fresh agent, it still ends the talk."""
    own, play = model(seed=8), game(target, first="attacker")
    agents = {"attacker": Preemptive(own, n=1, samples=1), "defender": NeuralNegotiator(target)}
    state = play.reset(range(5))
    for player, agent in agents.items():
        agent.reset(play.access(state, player))
    for _ in range(2):
        player = play.movers(state)[0]
        state, _, _ = play.step(
            state, {player: agents[player].act(play.observe(state, player), play.access(state, player))}
        )
    asked = agents["attacker"].queries.clone()
    fresh = Preemptive(own, n=1, samples=1)
    fresh.reset(play.access(state, "attacker"))
    fresh.restore(agents["attacker"].memory())
    assert torch.equal(fresh.queries, agents["attacker"].queries) and (fresh.queries > 0).any()
    move = fresh.act(play.observe(state, "attacker"), play.access(state, "attacker"))
    assert torch.equal(fresh.queries, asked)  # nothing is searched for once the talk is to end
    talking = state.speaker == 0
    assert talking.any() and (move[talking, 1] == WORDS.selection).all()


def test_no_deal_gains_what_walking_away_does(target: str) -> None:
    play, agent = game(target, walk_away_attacker=2.0, walk_away_defender=0.5), Reactive(model(seed=8))
    state = play.reset(range(3))
    access = play.access(state, "attacker")
    agent.reset(access)
    gain = agent.talks(play.observe(state, "attacker"), access).gain
    assert gain[:, NO_DEAL:].tolist() == [[1.5, 1.5]] * 3 and (gain[:, :NO_DEAL] != 1.5).any()


def test_files_that_are_no_negotiators_are_refused(target: str, tmp_path: Path) -> None:
    made, file = model(seed=8), tmp_path / "other.safetensors"
    play = game(target)
    access = play.access(play.reset([0]), "attacker")
    save_file(made.state_dict(), file)  # weights alone
    with pytest.raises(DataFileError, match=r"it does not tell its (sizes|words): write it with .*save_negotiator"):
        NeuralNegotiator(str(file)).reset(access)
    with torch.no_grad():
        made.heads.bias[3] = torch.nan
    save_negotiator(made, file)
    with pytest.raises(DataFileError, match="weights that are NaN or infinite"):
        NeuralNegotiator(str(file)).reset(access)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("transfer(turns=x)", r"turns: Input should be a valid integer.*\(got 'x'\)"),
        ("transfer(sentences=3)", r"sentences: .* \(got 3\)"),
        ("transfer(turns=-1)", "turns must not be negative"),
        ("negotiator(weights=3)", r"weights: .* \(got 3\)"),
        ("negotiator(temperature=hot)", r"temperature: .*valid number.*\(got 'hot'\)"),
        ("ra-pa-da(enough_reactive=x)", r"enough_reactive: .*\(got 'x'\)"),
        ("reactive(loss=hinge)", "'gain' or 'margin'"),
    ],
)
def test_options_of_other_types_are_named(text: str, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        make_agent(text)


def test_what_is_refused(target: str, tmp_path: Path) -> None:
    play = game(target)
    black = game(target, access_attacker="black-box")
    for agent in (Reactive(), Preemptive(), ArbitraryTurn()):
        with pytest.raises(AccessError, match="white-box"):
            agent.reset(black.access(black.reset([0]), "attacker"))
    with pytest.raises(AccessError, match="grammar"):
        strict = game(target, grammar=True, max_words=16)
        Reactive(model()).reset(strict.access(strict.reset([0]), "attacker"))
    with pytest.raises(AccessError, match="tokens"):
        acts = NegotiationGame(PLAIN)
        NeuralNegotiator(model()).reset(acts.access(acts.reset([0]), "attacker"))
    access = play.access(play.reset([0]), "attacker")
    with pytest.raises(UnknownNameError, match="abracadabra"):
        Transfer(model(), sentences=["i want abracadabra"]).reset(access)
    for sentences in ([], [" ".join(["hats"] * 9)]):
        with pytest.raises(SettingError, match="sentence"):
            Transfer(model(), sentences=sentences).reset(access)
    with pytest.raises(DataFileError, match="cannot be read"):
        Transfer(model(), sentences=str(tmp_path / "none.txt")).reset(access)
    other = Negotiator(type(WORDS)([*WORDS.words, "more"]), NegotiatorSizes(word=4, goal=4, hidden=4))
    with pytest.raises(VictimError, match="words"):
        NeuralNegotiator(other).reset(access)
    save_negotiator(other, tmp_path / "other.safetensors")
    with pytest.raises(VictimError, match="train it"):
        NeuralNegotiator(str(tmp_path / "other.safetensors")).reset(access)
    for wrong in ("reactive(n=0)", "preemptive(samples=0)", "negotiator(temperature=-1)"):
        with pytest.raises(SettingError):
            make_agent(wrong)
    with pytest.raises(SettingError, match="otherwise"):
        ArbitraryTurn(otherwise="never")  # type: ignore[arg-type]
