"""The negotiation game through its faces: its documentation, texts, rendering, ends at different times, refusals."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
import torch
from conformance import assert_same_state, draw, play, state_of
from gymnasium import spaces

from advgames.agents import Scripted
from advgames.dialogue.acts import ACCEPT, CHOOSE, END, PASS, PROPOSE
from advgames.dialogue.splits import NO_DEAL, mirrored, split_index
from advgames.envs import negotiation_v0
from advgames.errors import ActionDtypeError, ActionError, UnknownNameError
from advgames.games import NegotiationGame

TEXT = {"actions": "text", "first": "attacker", "walk_away_attacker": 2.0, "walk_away_defender": 1.0}
NONSENSE = [
    *("", " ", "\n", "i", "i want", "i want 9 hats", "i want two hats and a bicycle", "deal", "the moon", "<eos>"),
    *("<pad>", "YOU: deal", "THEM: <selection>", "i want 1 hat " * 100, "\x00\x07", "¿qué?", "💣" * 300),
    *("{}", "%s %d", "'; drop table", "\\", "<unk>", "item0=1", "1" * 5000),
]


# Documentation and registries.


EXAMPLES = re.findall(r"```python\n(.*?)```", negotiation_v0.__doc__ or "", re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("negotiation_v0.")[1].split("(")[0])
def test_the_examples_of_the_documentation_run(example: str) -> None:
    if "sb3_contrib" in example:
        pytest.importorskip("sb3_contrib")
    exec(compile(example, "negotiation_v0.__doc__", "exec"), {})


def test_the_documentation_has_an_example_of_every_face_in_15_lines_and_names_every_setting_and_observation() -> None:
    page = negotiation_v0.__doc__ or ""
    faces = {face for text in EXAMPLES for face in re.findall(r"negotiation_v0\.(\w+)\(", text)}
    assert faces == {"env", "gym_env", "vector_env"}
    assert all(len(text.splitlines()) <= 15 for text in EXAMPLES)
    assert all(f"`{name}`" in page for name in NegotiationGame.settings_model.model_fields)
    for settings in ({}, {"actions": "text"}):
        seen = negotiation_v0.env(**settings).observation_space("attacker_0")
        assert all(f"`{name}`" in page for name in seen.spaces)  # type: ignore[attr-defined]


def test_pettingzoo_and_gymnasium_know_the_environment() -> None:
    env = gymnasium.make("advgames/negotiation-v0", role="defender", opponents="fair")
    assert env.unwrapped.agent == "defender_0"  # type: ignore[attr-defined]
    if not hasattr(pettingzoo, "make"):
        pytest.skip("this PettingZoo has no registry (it came with 1.27)")
    assert str(pettingzoo.make("aec", "advgames/negotiation-v0", max_turns=4)) == "negotiation_v0"
    assert "advgames/negotiation-v0" not in pettingzoo.parallel_registry


# Masks.


def test_a_mask_is_what_sampling_by_pettingzoos_convention_takes() -> None:
    env = negotiation_v0.env()
    env.reset(seed=0)
    space = env.observation_space("attacker_0")["action_mask"]  # type: ignore[index]
    assert space == spaces.MultiBinary((289,))
    mask = env.observe(env.agent_selection)["action_mask"]
    assert mask.dtype == np.int8 and not mask[PASS] and mask[END]
    assert mask[env.action_space(env.agent_selection).sample(mask)] == 1
    assert negotiation_v0.vector_env(2).reset(seed=0)[env.agent_selection]["action_mask"].dtype == torch.int8


def test_learners_faces_have_an_outcome_where_the_others_have_an_error() -> None:
    for face, illegal in (("env", "error"), ("raw_env", "error"), ("gym_env", "outcome")):
        arguments = ["attacker"] if face == "gym_env" else []
        env = getattr(negotiation_v0, face)(*arguments)
        assert env.unwrapped.game.settings.illegal == illegal
    assert negotiation_v0.vector_env(2).game.settings.illegal == "error"
    assert negotiation_v0.gym_env("attacker", illegal="error").game.settings.illegal == "error"


@pytest.mark.parametrize("first", ["attacker", "defender"])
def test_an_illegal_choice_is_refused_before_the_other_side_has_chosen(first: str) -> None:
    env = negotiation_v0.env(first=first)
    env.reset(seed=0)
    env.step(END)
    assert env.agent_selection == "attacker_0"
    before = state_of(env)
    for bad in (END, CHOOSE + 124, PROPOSE):
        with pytest.raises(ActionError, match="attacker"):
            env.step(bad)
        assert_same_state(before, state_of(env))
    env.step(CHOOSE + NO_DEAL)
    assert env.agent_selection == "defender_0"
    env.step(CHOOSE + NO_DEAL)
    assert env.terminations == {"attacker_0": True, "defender_0": True}


def test_the_offers_on_the_table_are_the_last_of_each_side_and_worth_what_they_are_to_the_observer() -> None:
    """Against a plain reading of all offers so far, in both seats."""
    env, seen = negotiation_v0.env(max_turns=8), set()
    for seed in range(20):
        for turn in play(env, seed, actions=10 * seed):
            told: Any = turn.observation
            said = [list(offer) for offer, kind in zip(told["offers"].tolist(), told["kinds"], strict=True) if kind]
            mine = told["mine"].tolist()[: len(said)]
            for k, (name, own) in enumerate((("own_offer", 1), ("other_offer", 0))):
                made = [offer for offer, whose in zip(said, mine, strict=True) if whose == own and offer[0] >= 0]
                last = made[-1] if made else [-1.0] * 3
                worth = sum(n * v for n, v in zip(last, told["own_values"], strict=True)) if made else -1
                assert (told[name] - 1).tolist() == last and told["offers_worth"][k] == worth
                seen.add((name, len(made) > 1))
    assert len(seen) == 4


# Matches that end at different times.


def test_every_row_is_paid_once_and_told_its_end_from_then_on() -> None:
    env = negotiation_v0.vector_env(2, first="attacker", walk_away_attacker=2.0, max_turns=4, ending="accept")
    env.reset(seed=0)
    steps = []
    for moves in ([END, PROPOSE], [PASS, PROPOSE], [PASS, PROPOSE], [PASS, ACCEPT]):
        (agent,) = env.movers
        assert env.active(agent).tolist() == [move != PASS for move in moves]
        _, rewards, terminated, truncated, info = env.step({agent: torch.tensor(moves)})
        steps.append((rewards["attacker_0"].tolist(), terminated.tolist(), bool(info)))
        assert not truncated.any()
    assert [paid[0] for paid, _, _ in steps] == [2.0, 0.0, 0.0, 0.0]
    assert [ended for _, ended, _ in steps] == [[True, False]] * 3 + [[True, True]]
    assert [begun for _, _, begun in steps] == [False] * 3 + [True]
    assert env.game_state.turn.tolist() == [0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [{}, {"actions": "tokens", "grammar": True}, {"adversarial": True}], ids=str)
def test_in_one_match_nobody_ever_passes(settings: dict[str, Any]) -> None:
    for seed in range(4):
        env = negotiation_v0.env(max_turns=4, **settings)
        for turn in play(env, seed, actions=seed):
            assert (turn.observation["to_do"] == 0) == (turn.action is None)


@pytest.mark.parametrize("max_cycles", [1, 2, 3, 4, 5])
def test_a_row_is_truncated_where_the_single_match_is(max_cycles: int) -> None:
    settings = {"max_turns": 7, "max_cycles": max_cycles}
    env = negotiation_v0.vector_env(6, **settings)
    observations, info, cut = env.reset(seed=20), {}, torch.zeros(6, dtype=torch.bool)
    generator = np.random.default_rng(1)
    singles = [negotiation_v0.raw_env(**settings) for _ in range(6)]
    for row, single in enumerate(singles):
        single.reset(seed=20 + row)
    while not info:
        actions = {agent: env.move(agent, None) for agent in env.movers}
        for agent in env.movers:
            masks = observations[agent]["action_mask"].numpy().copy()
            if masks[:, END].any() and generator.random() < 0.5:
                masks[::2, CHOOSE:], masks[::2, :END] = 0, 0  # half of the rows end their talk
            for row in env.active(agent).nonzero()[:, 0].tolist():
                actions[agent][row] = int(generator.choice(np.flatnonzero(masks[row])))
                singles[row].step(int(actions[agent][row]))
        observations, _, terminated, cut, info = env.step(actions)
    assert cut.tolist() == [single.match.truncated for single in singles]
    assert terminated.tolist() == [single.match.terminated for single in singles]
    assert cut.any() or max_cycles == 5


# Texts.


@pytest.mark.parametrize("text", NONSENSE)
def test_any_string_is_an_action_and_what_cannot_be_read_ends_the_dialogue(text: str) -> None:
    env = negotiation_v0.env(**TEXT)
    env.reset(seed=0)
    env.step(text)
    observation, reward, terminated, _, info = env.last()
    assert terminated and reward == 2.0 and info["measures"]["illegal"] == 1.0
    assert "It is over: illegal. You score 2." in observation["text"]
    assert env.unwrapped.game_state.offender.tolist() == [0]


@pytest.mark.parametrize("text", [t for t in NONSENSE if t != "item0=1"])
def test_a_choice_that_cannot_be_read_is_illegal_too(text: str) -> None:
    env = negotiation_v0.env(**TEXT)
    env.reset(seed=0)
    for said in ("<selection>", "nothing", text):
        env.step(said)
    assert env.unwrapped.measures()["illegal"] == 1.0
    assert env.unwrapped.game_state.offender.tolist() == [1]


def test_random_texts_never_crash() -> None:
    """Words of the language in any order, and random characters."""
    letters, game = random.Random(0), negotiation_v0.env(**TEXT).unwrapped.game
    env = negotiation_v0.env(**TEXT)
    for seed in range(150):
        env.reset(seed=seed)
        while env.agents and not env.terminations[env.agent_selection]:
            if letters.random() < 0.5:
                text = " ".join(letters.choices(game.vocabulary.words, k=letters.randrange(8)))
            else:
                text = "".join(
                    chr(letters.choice((letters.randrange(128), letters.randrange(0xD800)))) for _ in range(9)
                )
            env.step(letters.choice((text, "What do you want?", "i want 1 hat")))
            assert env.observation_space("attacker_0").contains(env.observe("attacker_0"))


@pytest.mark.parametrize("action", [None, 3, np.zeros(3), b"deal", ["deal"]])
def test_what_is_no_string_is_refused_by_name(action: Any) -> None:
    env = negotiation_v0.env(**TEXT)
    env.reset(seed=0)
    before = state_of(env)
    with pytest.raises(ActionDtypeError, match="attacker_0: expected a string"):
        env.step(action)
    assert_same_state(before, state_of(env))


def test_a_match_in_texts_is_the_same_match_in_acts() -> None:
    acts, text = negotiation_v0.env(first="attacker"), negotiation_v0.env(actions="text", first="attacker")
    for env in (acts, text):
        env.reset(seed=3)
    counts = acts.unwrapped.game_state.counts
    hats = split_index(torch.tensor([0, int(counts[0, 1]), 0]))
    rest = mirrored(hats, counts[0])
    moves = [
        (PROPOSE + int(hats), f"I want {counts[0, 1]} hats, please."),
        (ACCEPT, "Deal!"),
        (END, "<selection>"),
        (CHOOSE + int(hats), f"{counts[0, 1]} hats"),
        (CHOOSE + int(rest), f"item0={counts[0, 0]} item1=0 item2={counts[0, 2]}"),
    ]
    for act, said in moves:
        acts.step(act)
        text.step(said)
    assert acts.unwrapped.measures() == pytest.approx(text.unwrapped.measures() | {"words": 8.0})
    assert acts.unwrapped.measures()["agreement"] == 1.0
    assert acts.rewards == text.rewards


@pytest.mark.parametrize("ending", ["select", "accept"])
def test_agents_moves_come_as_texts_that_are_read_back(ending: str) -> None:
    """Two scripted players, stepped by hand in texts, reach what they reach in acts."""
    for seed in range(8):
        told = []
        for actions in ("acts", "text"):
            env = negotiation_v0.env(actions=actions, ending=ending)
            players = {"attacker_0": Scripted("conceding", 0), "defender_0": Scripted("tit-for-tat", 0)}
            env.reset(seed=seed)
            while env.agents and not env.terminations[env.agent_selection]:
                move = env.unwrapped.move(players[env.agent_selection])
                assert isinstance(move, str) == (actions == "text")
                env.step(move)
            told.append(env.unwrapped.game.render_text(env.unwrapped.game_state))
        assert told[0] == told[1]


def test_the_state_vector_has_no_text_in_it() -> None:
    """The same numbers in words and in texts."""
    words = negotiation_v0.env(actions="tokens", unit="utterance", grammar=True).unwrapped
    assert negotiation_v0.env(**TEXT).unwrapped.state_space.shape == words.state_space.shape


def test_what_a_text_player_sees_is_its_own_side() -> None:
    env = negotiation_v0.env(**TEXT)
    env.reset(seed=0)
    assert "“deal”" not in env.observe("attacker_0")["text"]
    env.step("i want 1 hat")
    state = env.unwrapped.game_state
    assert env.observe("defender_0")["text"].splitlines()[3] == "They: i want 1 hat"
    assert env.observe("attacker_0")["text"].splitlines()[3] == "You: i want 1 hat"
    assert "It is not your turn." in env.observe("attacker_0")["text"]
    assert "“deal”" in env.observe("defender_0")["text"]
    other = replace(state, values=torch.cat([state.values[:, :1], 10 - state.values[:, 1:]], 1))
    game = env.unwrapped.game
    assert game.prompt(state, "attacker") == game.prompt(other, "attacker")
    assert game.prompt(state, "defender") != game.prompt(other, "defender")


# Rendering.


SPOKEN = [PROPOSE + 5, ACCEPT, END, CHOOSE + 5]


def test_a_dialogue_reads_as_it_was_held() -> None:
    env = negotiation_v0.env(render_mode="ansi", first="attacker")
    env.reset(seed=0)
    counts, values = env.unwrapped.game_state.counts[0].tolist(), env.unwrapped.game_state.values[0].tolist()
    assert env.render().splitlines()[0] == f"On the table: {counts[0]} books, {counts[1]} hats and {counts[2]} balls."
    for act in SPOKEN:
        env.step(act)
    rest = torch.tensor([counts[0], counts[1] - 1, counts[2]])
    env.step(CHOOSE + int(split_index(rest)))
    defended = sum(n * v for n, v in zip(rest.tolist(), values[1], strict=True))
    first, second = ("a book is worth {}, a hat {} and a ball {}".format(*worth) for worth in values)
    assert env.render().splitlines()[1:] == [
        f"To the attacker {first}.",
        f"To the defender {second}.",
        "",
        "Attacker: i want 1 hat",
        "Defender: deal",
        "Attacker: (ends the talk)",
        "",
        "Attacker takes 1 hat.",
        f"Defender takes {rest[0]} books, {rest[1]} hat and {rest[2]} balls.",
        f"Agreed: {values[0][1]} to the attacker, {defended} to the defender.",
    ]


@pytest.mark.parametrize(
    ("last", "line"),
    [
        (CHOOSE + 0, "Disagreed, for the choices do not fit together: 2 to the attacker, 1 to the defender."),
        (CHOOSE + NO_DEAL, "No deal: 2 to the attacker, 1 to the defender."),
        (ACCEPT, "Ended by an illegal move of the defender: 2 to the attacker, 1 to the defender."),
    ],
)
def test_the_last_line_says_how_it_ended(last: int, line: str) -> None:
    settings = {"walk_away_attacker": 2.0, "walk_away_defender": 1.0, "illegal": "outcome"}
    env = negotiation_v0.env(render_mode="ansi", first="attacker", **settings)
    env.reset(seed=0)
    for act in [*SPOKEN, last]:
        env.step(act)
    assert env.render().splitlines()[-1] == line


@pytest.mark.parametrize("settings", [{}, {"actions": "tokens", "grammar": True}, {"actions": "text"}], ids=str)
def test_the_human_mode_prints_every_line_once(settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    env = negotiation_v0.env(render_mode="human", **settings)
    for seed in (0, None):
        play(env, seed)
        assert env.render() is None
        game, state = env.unwrapped.game, env.unwrapped.game_state
        assert capsys.readouterr().out == game.render_text(state) + "\n"


def test_a_transcript_only_grows() -> None:
    env = negotiation_v0.env(render_mode="ansi", actions="tokens", grammar=True, max_turns=3)
    seen = [""]

    def watch(env: Any) -> None:
        lines = env.render().splitlines()
        before = seen[-1].splitlines()
        assert lines[: len(before)] == before
        seen.append(env.render())

    play(env, 1, watch=watch)
    assert len({*seen}) >= 5


def test_there_is_no_picture() -> None:
    with pytest.raises(UnknownNameError, match="render mode 'rgb_array'"):
        negotiation_v0.env(render_mode="rgb_array")


def test_a_gym_env_renders_too() -> None:
    env = negotiation_v0.gym_env("defender", "conceding", render_mode="ansi", first="attacker")
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    env.step(draw(env.action_space, observation))
    told = env.render()
    assert isinstance(told, str) and "Attacker:" in told and "Defender:" in told
