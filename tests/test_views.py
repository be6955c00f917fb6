"""Views: what a learner sees and does instead, in the faces, in training, and frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advgames.agents import DialogueActs, LevelK, Null, RLLevelK, StrategyMix, Subspace, View, make_agent
from advgames.envs import negotiation_v0, perturbation_v0, poisoning_v0
from advgames.envs.viewed import ViewedGame
from advgames.errors import AccessError, ActionError, SettingError, UnknownNameError
from advgames.games import Box, MatrixGame, NegotiationGame, PerturbationGame, PoisoningGame
from advgames.training import LearningRecipe, best_response, payoffs
from advgames.training.best_response import respond
from advgames.training.matches import play_out

DIGITS: dict[str, Any] = {
    "task": "digits",
    "train_size": 60,
    "validation_size": 20,
    "test_size": 20,
    "batch_size": 4,
    "iterations": 3,
}
R12: dict[str, Any] = {"task": "linear-regression", "iterations": 3, "dtype": "float64"}
TINY: dict[str, Any] = {"num_games": 4, "net": (8,), "options": {"n_steps": 3, "batch_size": 6}}


def start(game: PoisoningGame, player: str = "attacker", seeds: Any = (0, 1)) -> tuple[Any, dict[str, Any], Any]:
    state = game.reset(seeds)
    return state, game.observe(state, player), game.access(state, player)


def test_features_are_what_they_say() -> None:
    """Against the same quantities by hand, two iterations into a training with momentum."""
    game = PoisoningGame(**R12, optimizer="momentum", momentum=0.9, learning_rate=0.05)
    state, _, _ = start(game)
    for _ in range(2):
        state, _, _ = game.step(state, {"attacker": torch.zeros_like(state.inputs)})
        state, _, _ = game.step(state, {"defender": torch.zeros_like(state.inputs)})
    seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
    view = View(["progress", "log-loss", "momentum", "steepness", "first-direction"])
    view.reset(access)
    found = view.observe(seen, access)
    assert torch.equal(found["progress"], seen["progress"])
    torch.testing.assert_close(found["log-loss"], state.validation_loss[:, None].log10() / 10)
    theta, momentum = state.params["theta"], state.buffers["momentum.theta"]
    gradient = 2 * 50.0**2 * (theta - 20.0)
    torch.testing.assert_close(found["momentum"][:, 0], (momentum * gradient).sign()[:, 0])
    torch.testing.assert_close(found["momentum"][:, 1], (momentum / gradient).abs().log10()[:, 0])
    slope = access.utility_gradient(seen["inputs"])
    torch.testing.assert_close(found["first-direction"], slope.sign())
    torch.testing.assert_close(found["steepness"], slope.abs().log10()[:, 0] / 10)
    space = view.observation_space(access)
    for name, value in found.items():
        part = space[name]
        assert isinstance(part, Box) and value.shape[1:] == part.shape
    plain = PoisoningGame(**R12)
    _, seen, access = start(plain)
    assert not View(["momentum"]).observe(seen, access)["momentum"].any()


def test_margins_are_there_for_who_may_ask_for_logits() -> None:
    game = PerturbationGame("polygon", batch_size=3, rounds=1, access_attacker="soft-label")
    state = game.reset([0, 1])
    seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
    view = View(["margins"])
    view.reset(access)
    margins = view.observe(seen, access)["margins"]
    logits = game.victim.logits(seen["inputs"])
    own = logits.gather(-1, game.access(state, "attacker").labels[..., None])[..., 0]  # type: ignore[attr-defined]
    torch.testing.assert_close(margins, 2 * own - logits.sum(-1))  # two classes
    assert view.observation_space(access)["margins"] == Box((3,))


def test_a_mix_of_strategies_is_their_weighted_sum_in_the_ball() -> None:
    game = PoisoningGame(**DIGITS, dtype="float64")
    _, seen, access = start(game)
    moves = StrategyMix(["level-1", "random"])
    moves.reset(access)
    first = LevelK(1).act(seen, access)
    weights = torch.tensor([[0.5, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    mixed = moves.expand(weights, seen, access)
    torch.testing.assert_close(mixed, first * weights[:, :1, None, None, None])
    both = moves.expand(torch.ones(2, 2, dtype=torch.float64), seen, access)
    assert access.threat.norms(both).max() <= 1 + 1e-6
    assert moves.space(access) == Box((2,), -1.0, 1.0)


def test_principal_components_are_those_of_known_inputs() -> None:
    """scikit-learn's, up to their signs; of validation inputs in a training, of known ones in front of a victim."""
    pca = pytest.importorskip("sklearn.decomposition").PCA(3)
    training = PoisoningGame(**DIGITS, dtype="float64")
    victim = PerturbationGame("digits", victim_epochs=1, train_size=60, validation_size=20, test_size=20, batch_size=4)
    for game, known in ((training, training.task.validation.inputs), (victim, victim.task.train.inputs)):
        state = game.reset([0, 1])
        moves, access = Subspace("pca", 3), game.access(state, "attacker")
        moves.reset(access)
        patterns = moves._made(access).double().flatten(1)
        expected = torch.tensor(pca.fit(known.double().flatten(1).numpy()).components_)
        torch.testing.assert_close(
            (patterns * expected).sum(1).abs(), torch.ones(3, dtype=torch.float64), rtol=1e-5, atol=0
        )


@pytest.mark.parametrize("basis", ["dct", "random", "pca"])
def test_subspaces_are_spanned_by_unit_patterns(basis: Any) -> None:
    game = PoisoningGame(**DIGITS, dtype="float64")
    _, seen, access = start(game)
    moves = Subspace(basis, 3)
    assert moves.space(access) == Box((3,), -1.0, 1.0)
    eye = torch.eye(3, dtype=torch.float64)[:2]
    made = moves.expand(eye, seen, access)
    torch.testing.assert_close(access.threat.norms(made), torch.ones(2, 4, dtype=torch.float64))
    assert (made == made[:, :1]).all()  # one pattern for all inputs
    if basis == "dct":
        assert made[0].std() < 1e-12  # the lowest frequency is constant
        flat = moves._made(access).flatten(1)
        torch.testing.assert_close(flat @ flat.T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    classes = Subspace(basis, 2, per_class=True)
    assert classes.space(access) == Box((10, 2), -1.0, 1.0)
    own = torch.zeros(2, 10, 2, dtype=torch.float64)
    own[0, seen["labels"][0, 0], 1] = 1.0  # in the first match, the class of the first input alone
    made = classes.expand(own, seen, access)
    hit = seen["labels"][0] == seen["labels"][0, 0]
    assert torch.equal(made[0].flatten(1).abs().sum(1) > 0, hit) and not made[1].any()


def test_one_vector_for_all_inputs_stays_one() -> None:
    game = PerturbationGame("polygon", batch_size=3, rounds=1, access_defender="white-box")
    state = game.reset([0, 1])
    seen, access = game.observe(state, "defender"), game.access(state, "defender")
    for moves, size in ((Subspace("random", 2), 2), (StrategyMix(["random", "null"]), 2)):
        moves.reset(access)
        assert moves.expand(torch.ones(2, size), seen, access).shape == (2, 1, 2)


def test_a_viewed_game_pays_what_the_game_pays_for_the_expanded_action() -> None:
    game, view = PoisoningGame(**R12), View(["progress"], StrategyMix(["level-1", "level-2"]))
    seen = ViewedGame(game, "attacker", view)
    assert set(seen.observation_space("attacker")) == {"progress"} and "inputs" in seen.observation_space("defender")
    one, two = seen.reset([0, 1]), game.reset([0, 1])
    assert set(seen.observe(one, "attacker")) == {"progress"} and "inputs" in seen.observe(one, "defender")
    weights = torch.tensor([[1.0, 0.0], [0.0, -0.5]], dtype=torch.float64)
    while not game.over(two):
        sight, access = game.observe(two, "attacker"), game.access(two, "attacker")
        plain = torch.stack([LevelK(1).act(sight, access)[0], -0.5 * LevelK(2).act(sight, access)[1]])
        one, _, _ = seen.step(one, {"attacker": weights})
        two, _, _ = game.step(two, {"attacker": plain})
        nothing = torch.zeros_like(plain)
        (one, paid, _), (two, expected, _) = (g.step(s, {"defender": nothing}) for g, s in ((seen, one), (game, two)))
        torch.testing.assert_close(paid["attacker"], expected["attacker"])
    assert seen.over(one) and seen.settings is game.settings and seen.horizon == 3


@pytest.mark.parametrize("face", ["raw_env", "env", "gym_env", "vector_env", "sb3_env"])
def test_every_face_takes_views(face: str) -> None:
    view = View(["progress", "log-loss"], StrategyMix(["level-1"]))
    first: dict[str, tuple[Any, ...]] = {"gym_env": ("attacker",), "sb3_env": ("attacker",), "vector_env": (2,)}
    env: Any = getattr(poisoning_v0, face)(*first.get(face, ()), views={"attacker_0": view}, **R12)
    if face in ("gym_env", "sb3_env"):
        seen, action = env.observation_space, env.action_space
    else:
        spaces = (env.observation_space, env.action_space) if face != "vector_env" else None
        seen, action = (
            (s("attacker_0") for s in spaces)
            if spaces
            else (
                env.observation_spaces["attacker_0"],
                env.action_spaces["attacker_0"],
            )
        )
    assert set(seen.spaces) == {"progress", "log-loss"} and action.shape == (1,)
    env.reset(seed=0) if face != "sb3_env" else env.reset()
    if face == "gym_env":
        assert env.step(np.array([1.0], action.dtype))[1] != 0
    elif face == "sb3_env":
        assert env.step(np.ones((16, 1), action.dtype))[1].any()


def test_a_learner_with_a_view_is_frozen_with_it(tmp_path: Path) -> None:
    """Trained on features and weights, it plays the game itself, also after it was saved and loaded."""
    game = PoisoningGame(**R12)
    view = View(["progress", "momentum", "second-direction"], StrategyMix(["level-1", "level-2"]))
    agent = best_response(game, "attacker", "level-1", "PPO", 12, view=view, **TINY)
    again = RLLevelK.load(agent.save(tmp_path / "agent.safetensors"))
    assert again.manifest.view == view.describe() and again.view.describe() == view.describe()
    found = [payoffs(game, {"attacker": a, "defender": LevelK(1)}, range(5))["attacker"] for a in (agent, again)]
    assert torch.equal(*found) and not torch.equal(
        found[0], payoffs(game, {"attacker": Null(), "defender": LevelK(1)}, range(5))["attacker"]
    )
    whole = View.build(View(None, Subspace("random", 3)).describe())
    assert whole.features is None and isinstance(whole.moves, Subspace) and whole.moves.size == 3
    assert repr(LearningRecipe(view=view)) != repr(LearningRecipe(view=View(["progress"])))


def test_acts_in_words_are_the_acts_themselves(tmp_path: Path) -> None:
    """A policy that was trained on acts holds the same dialogues in words, act by act, and is paid the same."""
    common: dict[str, Any] = {"max_turns": 6, "first": "attacker"}
    acts = NegotiationGame(**common, illegal="outcome")
    words = NegotiationGame(**common, actions="tokens", unit="utterance", grammar=True)
    agent = best_response(acts, "attacker", "fair", "MaskablePPO", 12, **TINY)
    own = agent.manifest.model_copy(update={"view": DialogueActs().describe()})
    speaker = RLLevelK.load(RLLevelK(agent.policy, own).save(tmp_path / "speaker.safetensors"))
    assert isinstance(speaker.view, DialogueActs)
    for opponent in ("fair", "stubborn", "random-negotiator"):
        one, two = (
            play_out(game, {"attacker": each, "defender": make_agent(opponent)}, range(40))[0]
            for game, each in ((acts, agent), (words, speaker))
        )
        assert torch.equal(one.acts, two.acts) and torch.equal(one.choices, two.choices)
        assert torch.equal(one.scores, two.scores) and one.acts.unique().numel() > 8


def test_what_a_learner_sees_of_words_is_what_it_sees_of_acts() -> None:
    """At every move of whole dialogues, the mask too; a learner in words is trained and paid there."""
    common: dict[str, Any] = {"max_turns": 6, "first": "attacker"}
    acts = NegotiationGame(**common)
    words = ViewedGame(
        NegotiationGame(**common, actions="tokens", unit="utterance", grammar=True), "defender", DialogueActs()
    )
    players = [make_agent("conceding"), make_agent("tit-for-tat")]
    one, two = acts.reset(range(12)), words.reset(range(12))
    for game, state in ((acts, one), (words, two)):
        for player, agent in zip(game.players, players, strict=True):
            agent.reset(game.access(state, player))
    looked = 0
    while not acts.over(one):
        seen, heard = acts.observe(one, "defender"), words.observe(two, "defender")
        assert seen.keys() == heard.keys() == words.observation_space("defender").keys()
        for name in seen:
            assert torch.equal(seen[name], heard[name]), name
        looked += int(seen["action_mask"].sum(1).ne(1).any())
        moves = {
            player: players[acts.players.index(player)].act(acts.observe(one, player), acts.access(one, player))
            for player in acts.movers(one)
        }
        said = dict(moves)
        if "attacker" in moves:
            said["attacker"] = players[0].act(words.observe(two, "attacker"), words.access(two, "attacker"))
        one, _, _ = acts.step(one, moves)
        two, _, _ = words.step(two, said)
    assert looked > 2 and torch.equal(one.scores, two.scores)
    recipe = LearningRecipe("MaskablePPO", 12, view=DialogueActs(), **TINY)
    learned = respond(words.game, "defender", "stubborn", recipe)
    assert learned.manifest.masked and isinstance(learned.view, DialogueActs)
    paid = payoffs(words.game, {"attacker": make_agent("stubborn"), "defender": learned}, range(6))["defender"]
    assert ((paid >= 0) & (paid <= 10)).all()
    with pytest.raises(SettingError, match="plays games of utterances"):
        ViewedGame(acts, "attacker", DialogueActs())
    with pytest.raises(AccessError, match="negotiates in dialogues"):
        ViewedGame(PoisoningGame(**R12), "attacker", DialogueActs())


def test_views_of_two_environments_do_not_meet() -> None:
    """One view, given to a training and an evaluation environment of other sizes: each has its own."""
    view = View(["progress"], StrategyMix(["level-1+momentum"]))
    envs = [poisoning_v0.sb3_env("attacker", None, count, views={"attacker": view}, **R12) for count in (4, 2)]
    for env in envs:
        env.seed(0)
        env.reset()
    for _ in range(2):
        for env in envs:
            env.step(np.ones((env.num_envs, 1)))
    assert view.memory() == {}


def test_a_view_alone_changes_nothing_and_passes_as_the_game_does() -> None:
    env = negotiation_v0.sb3_env("attacker", "fair", 4, views={"attacker": View()}, max_turns=4)
    game = env.env.game
    state = game.reset(range(4))
    assert torch.equal(game.null_action(state, "attacker"), game.rules.null_action(state, "attacker"))
    assert game.settings_model is type(game.rules).settings_model and game.match_settings({}) == {}
    shown = negotiation_v0.env(views={"attacker": View()}, render_mode="ansi", first="attacker")
    shown.reset(seed=0)
    assert "book" in shown.render()
    drawn = poisoning_v0.env(views={"attacker": View(["progress"])}, render_mode="rgb_array", **DIGITS)
    drawn.reset(seed=0)
    assert drawn.render().ndim == 3
    radii = ViewedGame(PoisoningGame(**R12), "attacker", View()).match_settings({"epsilon": 0.3})
    assert radii == {"epsilon_attacker": 0.3, "epsilon_defender": 0.3}


def test_looking_twice_costs_no_more_queries() -> None:
    env = perturbation_v0.vector_env(
        2, views={"attacker": View(["margins"])}, task="polygon", batch_size=3, rounds=2, access_attacker="soft-label"
    )
    env.reset(seed=0)
    for _ in range(3):
        env.observe("attacker_0")
    assert env.measures()["queries_attacker"].tolist() == [3.0, 3.0]


def test_what_is_seen_of_an_ended_match_costs_nothing() -> None:
    """Three queries a round, for three points: as many for a learner in a face as for the frozen player."""
    view, rules = View(["margins"]), {"batch_size": 3, "rounds": 2, "access_attacker": "soft-label"}
    env = perturbation_v0.sb3_env("attacker", None, 2, views={"attacker": view}, task="polygon", **rules)
    env.reset()
    for _ in range(2):
        _, _, done, infos = env.step(np.zeros((2, *env.action_space.shape), np.float32))
    assert done.all() and [info["measures"]["queries_attacker"] for info in infos] == [6.0, 6.0]


def test_a_viewed_action_is_found_once_in_every_face() -> None:
    """One match at a time checks an action before it is played: what a mix's agents ask for it they ask once."""
    view = View(None, StrategyMix(["ensemble(members=random|null)", "null"]))
    rules = {"task": "polygon", "batch_size": 3, "rounds": 2, "access_attacker": "soft-label", "order": "simultaneous"}
    single, batch = (
        perturbation_v0.env(views={"attacker": view}, **rules),
        perturbation_v0.vector_env(1, views={"attacker": view}, **rules),
    )
    single.reset(seed=4)
    batch.reset(seed=4)
    for _ in range(2):
        single.step(np.ones(2, np.float32))
        single.step(np.zeros(single.action_space("defender_0").shape, np.float32))
        still = torch.zeros(1, *batch.action_spaces["defender_0"].shape)
        _, paid, _, _, info = batch.step({"attacker_0": torch.ones(1, 2), "defender_0": still})
    asked = batch.game.measures(info["final_state"])["queries_attacker"].tolist()
    assert [single.infos["attacker_0"]["measures"]["queries_attacker"]] == asked and asked[0] > 0
    assert single.rewards["attacker_0"] == pytest.approx(float(paid["attacker_0"]))


def test_a_view_without_the_mask_still_passes_and_is_refused_where_illegal_moves_are_errors() -> None:
    view = View(["counts", "own_values", "to_do", "progress"])
    careful, lenient = NegotiationGame(), NegotiationGame(illegal="outcome", first="random")
    for algorithm in ("PPO", "MaskablePPO"):
        with pytest.raises(SettingError, match=r"MaskablePPO, or illegal|needs a mask"):
            best_response(careful, "attacker", "fair", algorithm, 8, view=view)
    agent = best_response(lenient, "attacker", "fair", "PPO", 8, view=view, **TINY)
    assert payoffs(lenient, {"attacker": agent, "defender": make_agent("fair")}, range(16))["attacker"].shape == (16,)


def test_actions_outside_a_views_space_are_refused() -> None:
    game = PoisoningGame(**R12)
    env = poisoning_v0.vector_env(2, views={"attacker": View(None, StrategyMix(["level-1", "null"]))}, **R12)
    env.reset(seed=0)
    for wrong in (torch.full((2, 2), 7.0), torch.zeros(2, 3), torch.zeros(2, 1), torch.full((2, 2), torch.nan)):
        with pytest.raises(ActionError, match="attacker: expected"):
            env.step({"attacker_0": wrong.double()})
    assert env.game_state.phase == 0 and game.name == "poisoning"
    words = ViewedGame(
        NegotiationGame(actions="tokens", unit="utterance", first="attacker", grammar=True), "attacker", DialogueActs()
    )
    state = words.reset([0])
    for act in (166, 126, 0):  # a choice, an insistence on nothing, passing
        with pytest.raises(ActionError, match="not legal now"):
            words.step(state, {"attacker": torch.tensor([act])})


def test_what_agents_of_a_mix_remember_is_kept() -> None:
    game = PoisoningGame(**R12)
    state = game.reset([0, 1])
    seen, access = game.observe(state, "attacker"), game.access(state, "attacker")
    weights = torch.ones(2, 1, dtype=torch.float64)
    views = [View(["progress"], StrategyMix(["level-1+momentum"])) for _ in range(2)]
    for view in views:
        view.reset(access)
    views[0].expand(weights, seen, access)
    views[1].restore(views[0].memory())
    assert views[0].memory() and torch.equal(*(view.expand(weights, seen, access) for view in views))


def test_components_are_of_inputs_that_all_matches_share() -> None:
    own = PoisoningGame(**DIGITS, validation="batch")
    with pytest.raises(AccessError, match="does not know the validation set"):
        ViewedGame(own, "attacker", View(None, Subspace("pca", 2)))
    some = PoisoningGame(**DIGITS, validation_subsample=5)
    whole = PoisoningGame(**DIGITS)
    found = []
    for game in (some, whole):
        access = game.access(game.reset([3]), "attacker")
        moves = Subspace("pca", 2)
        moves.reset(access)
        found.append(moves._made(access))
    assert torch.equal(*found)


def test_what_cannot_be_viewed_is_refused() -> None:
    game, hidden = PoisoningGame(**R12), PerturbationGame("polygon", access_attacker="hard-label")
    for rules, player, view, error, text in (
        (game, "attacker", View(["momentun"]), UnknownNameError, "momentum"),
        (hidden, "attacker", View(["first-direction"]), AccessError, "white-box"),
        (hidden, "attacker", View(["log-loss"]), SettingError, "does not exist in this game"),
        (hidden, "attacker", View(["margins"]), AccessError, "soft-label"),
        (game, "attacker", View(["margins"]), SettingError, "does not exist in this game"),
        (hidden, "attacker", View(None, StrategyMix(["level-1"])), AccessError, "white-box"),
        (MatrixGame(), "row", View(["first-direction"]), AccessError, "perturbs inputs"),
        (game, "attackr", View(), SettingError, "players attacker, defender"),
        (game, "attacker", View(None, Subspace("dct", 2)), SettingError, "dct has 1 patterns"),
        (game, "attacker", View(None, Subspace("pca", 2)), SettingError, "pca has 1 patterns"),
        (game, "attacker", View(None, Subspace("random", 2, per_class=True)), SettingError, "needs labels"),
    ):
        with pytest.raises(error, match=text):
            ViewedGame(rules, player, view)
    for what, given in (
        ("features are a list", {"features": "progress"}),
        ("moves must be Moves", {"moves": "level-1"}),
        ("a list of at least one agent", {"moves": lambda: StrategyMix("level-1")}),
    ):
        with pytest.raises(SettingError, match=what):
            View(**{name: made() if callable(made) else made for name, made in given.items()})  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="dct"):
        Subspace("dtc")  # type: ignore[arg-type]
    for size, agents in ((0, ["null"]), (1, [])):
        with pytest.raises(SettingError):
            StrategyMix(agents) if size else Subspace("dct", size)
    for described in (
        {},
        {"features": None, "moves": {"kind": "magic"}},
        {"features": None, "moves": {"kind": "subspace", "x": 1}},
    ):
        with pytest.raises(SettingError, match="no view can be built"):
            View.build(described)
    with pytest.raises(UnknownNameError, match="attacker_0"):
        perturbation_v0.env(task="polygon", views={"row": View()})
