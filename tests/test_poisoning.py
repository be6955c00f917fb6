"""The training-time game keeps its rules: payoffs, order of moves, independence of matches, hidden knowledge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advgames.agents import LevelK, Null, RandomDirection, make_agent
from advgames.errors import ActionError, PhaseError, SettingError, UnknownNameError
from advgames.games import PoisoningGame, PoisoningState, make_game
from advgames.victims import Victim, mlp

SMALL: dict[str, Any] = {"train_size": 60, "validation_size": 30, "test_size": 20, "batch_size": 10, "iterations": 8}


def digits(dtype: torch.dtype = torch.float64, **settings: Any) -> PoisoningGame:
    return PoisoningGame("digits", dtype=dtype, **{**SMALL, **settings})


def play(game: PoisoningGame, attacker: str, defender: str, seeds: list[int]) -> tuple[PoisoningState, list[Tensor]]:
    """The final state, and the attacker's payoff of every phase."""
    agents = {"attacker": make_agent(attacker), "defender": make_agent(defender)}
    state = game.reset(seeds)
    for player, agent in agents.items():
        agent.reset(game.access(state, player))
    gains = []
    while not game.over(state):
        (player,) = game.movers(state)
        action = agents[player].act(game.observe(state, player), game.access(state, player))
        state, payoffs, _ = game.step(state, {player: action})
        assert torch.equal(payoffs["attacker"], -payoffs["defender"])
        gains.append(payoffs["attacker"])
    return state, gains


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_attacker_s_payoffs_add_up_to_the_rise_of_the_validation_loss(optimizer: str) -> None:
    game = digits(optimizer=optimizer)
    state, gains = play(game, "level-1", "random", [0, 1])
    torch.testing.assert_close(torch.stack(gains).sum(0), state.validation_loss - state.initial_loss)
    fresh = game.task.validation
    for match in range(2):
        params = {n: p[match] for n, p in state.params.items()}
        loss = nn.functional.cross_entropy(
            torch.func.functional_call(game.victim.module, params, (fresh.inputs,)), fresh.labels
        )
        torch.testing.assert_close(state.validation_loss[match], loss)


def test_a_round_is_the_two_perturbations_and_one_plain_training_step() -> None:
    """Replayed by hand with torch.optim on x'' = clip(clip(x + eps delta) + eps sigma)."""
    game = digits(optimizer="adam", learning_rate=0.01, epsilon_attacker=1.5, epsilon_defender=0.5)
    state = game.reset([4])
    params = {n: p[0].clone().requires_grad_() for n, p in state.params.items()}
    optimizer = torch.optim.Adam(params.values(), lr=0.01)
    player = RandomDirection()
    for _ in range(3):
        delta = player.act(game.observe(state, "attacker"), game.access(state, "attacker"))
        middle, payoffs, _ = game.step(state, {"attacker": delta})
        assert payoffs["attacker"].item() == 0
        sigma = player.act(game.observe(middle, "defender"), game.access(middle, "defender"))
        attacked = (state.inputs + 1.5 * delta).clamp(0, 1)
        assert torch.equal(game.observe(middle, "defender")["inputs"], attacked)
        repaired = (attacked + 0.5 * sigma).clamp(0, 1)
        logits = torch.func.functional_call(game.victim.module, params, (repaired[0],))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, state.labels[0]).backward()
        optimizer.step()
        state, _, _ = game.step(middle, {"defender": sigma})
        for name, p in params.items():
            torch.testing.assert_close(state.params[name][0], p.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "attacker", ["level-1", "level-2", "level-3", "level-1+momentum", "optimal-contraction", "random"]
)
@pytest.mark.parametrize("batching", ["vmap", "loop"])
def test_match_i_of_a_batch_equals_the_match_alone(attacker: str, batching: str) -> None:
    game = digits(batching=batching)
    together, gains = play(game, attacker, "level-1", [3, 1, 2])
    alone, gain = play(game, attacker, "level-1", [1])
    torch.testing.assert_close(torch.stack(gains)[:, 1], torch.stack(gain)[:, 0], rtol=1e-8, atol=1e-10)
    for name in alone.params:
        torch.testing.assert_close(together.params[name][1], alone.params[name][0], rtol=1e-7, atol=1e-9)


def test_every_epoch_visits_every_sample_once_in_another_order() -> None:
    game = digits(iterations=12)
    state, orders = game.reset([0]), []
    while not game.over(state):
        orders.append(state.sample_ids[0])
        assert torch.equal(state.inputs[0], game.task.train.inputs[state.sample_ids[0]])
        for player in ("attacker", "defender"):
            state, _, _ = game.step(state, {player: game.null_action(state, player)})
    epochs = torch.cat(orders).view(2, 60)
    assert torch.equal(epochs.sort(1).values, torch.arange(60).expand(2, 60))
    assert not torch.equal(epochs[0], epochs[1])


def test_same_seed_same_match_and_other_seeds_other_matches() -> None:
    runs = [play(digits(), "level-1", "null", [seed])[0].validation_loss.item() for seed in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("defender", ["level-1", "null"])
def test_a_saved_state_goes_on_exactly(defender: str) -> None:
    """Many chunks, saved once in the middle of a round and once between rounds; every payoff is compared."""
    game = digits(dtype=torch.float32, chunk_size=4)
    agents = {"attacker": LevelK(1), "defender": make_agent(defender)}
    gains: dict[bool, list[Tensor]] = {False: [], True: []}
    for restore, found in gains.items():
        state = game.reset([0, 1])
        for step in range(2 * game.horizon):
            (player,) = game.movers(state)
            action = agents[player].act(game.observe(state, player), game.access(state, player))
            state, payoffs, _ = game.step(state, {player: action})
            found.append(payoffs["attacker"])
            if restore and step in (4, 7):
                state = PoisoningState.from_dict(state.to_dict())
    assert all(torch.equal(a, b) for a, b in zip(gains[False], gains[True], strict=True))


def test_a_step_is_a_function_of_state_and_action_whoever_has_looked_at_gradients() -> None:
    game = digits(dtype=torch.float32, chunk_size=4)
    state = game.reset([0])
    for player in ("attacker", "defender", "attacker"):
        state, _, _ = game.step(state, {player: game.null_action(state, player)})
    action = {"defender": game.null_action(state, "defender")}
    unseen = game.step(state, action)[1]["attacker"]
    _ = game.access(state, "defender").validation.gradient
    assert torch.equal(game.step(state, action)[1]["attacker"], unseen)


def test_players_cannot_change_the_game_through_what_they_see_submit_or_know() -> None:
    game = digits()
    state = game.reset([0])
    before = {name: v.clone() if isinstance(v, Tensor) else v for name, v in state.to_dict().items()}
    for seen in game.observe(state, "attacker").values():
        seen.zero_()
    access = game.access(state, "attacker")
    for known in (*access.params.values(), *access.buffers.values()):
        known.fill_(7)
    assert all(torch.equal(v, state.to_dict()[n]) if isinstance(v, Tensor) else True for n, v in before.items())
    delta = game.null_action(state, "attacker")
    following, _, _ = game.step(state, {"attacker": delta})
    delta.add_(5)
    assert following.attack is not None and following.attack.max() == 0


def test_noise_is_each_match_s_each_player_s_and_each_round_s_own() -> None:
    game = digits()
    state = game.reset([3, 4])
    later = state
    for player in ("attacker", "defender"):
        later, _, _ = game.step(later, {player: game.null_action(later, player)})
    draws = [game.access(s, p).noise(state.inputs) for s in (state, later) for p in game.players]
    draws = [d[i] for d in draws for i in range(2)]
    assert not any(torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])
    alone = game.access(game.reset([4]), "attacker").noise(state.inputs)
    assert torch.equal(alone[0], draws[1])


@pytest.mark.parametrize("subsample", [None, 7])
def test_both_players_share_one_validation_gradient_a_round(subsample: int | None) -> None:
    game = digits(validation_subsample=subsample)
    state = game.reset([0])
    attacker = game.access(state, "attacker").validation
    state, _, _ = game.step(state, {"attacker": game.null_action(state, "attacker")})
    assert game.access(state, "defender").validation is attacker


def test_an_attacker_without_the_validation_set_does_not_see_its_loss_either() -> None:
    game = digits(validation="batch")
    state = game.reset([0])
    assert game.observe(state, "attacker")["validation_loss"].item() == 0
    assert game.observe(state, "defender")["validation_loss"].item() > 0


@pytest.mark.parametrize("pair", [("level-1", "level-1"), ("null", "null"), ("level-3", "level-2")])
def test_a_match_that_diverges_leaves_the_others_alone(pair: tuple[str, str]) -> None:
    """Radius 1e30 in one match of two, unbounded inputs, large steps: it ends in NaN, the other as it does alone."""
    game = PoisoningGame("linear-regression", learning_rate=0.2, iterations=12)
    agents = {"attacker": make_agent(pair[0]), "defender": make_agent(pair[1])}

    def run(seeds: list[int], radii: list[float]) -> Tensor:
        state = game.reset(seeds, epsilon_attacker=radii, epsilon_defender=radii)
        if radii[-1] > 1:
            state.params["theta"][-1] = float("inf")  # whatever made it so
        for player, agent in agents.items():
            agent.reset(game.access(state, player))
        while not game.over(state):
            (player,) = game.movers(state)
            action = agents[player].act(game.observe(state, player), game.access(state, player))
            state, _, _ = game.step(state, {player: action})
        return state.validation_loss

    both = run([3, 4], [0.1, 1e30])
    assert torch.isfinite(both[0]) and not torch.isfinite(both[1])
    torch.testing.assert_close(both[0], run([3], [0.1])[0])


def test_radii_are_per_match() -> None:
    game = digits()
    state = game.reset([0, 0], epsilon_attacker=[0.0, 1.0], epsilon_defender=[0.5, 0.5])
    delta = game.threat.unit(torch.ones_like(state.inputs))
    after, _, _ = game.step(state, {"attacker": delta})
    moved = (game.observe(after, "defender")["inputs"] - state.inputs).flatten(2).norm(dim=2)
    assert moved[0].max() == 0 < moved[1].min()


def counting(passes: list[bool], shape: torch.Size) -> Any:
    """A Victim.__call__ that notes for each pass over inputs of this shape whether it kept a graph."""
    call = Victim.__call__

    def counted(self: Victim, params: Any, inputs: Tensor) -> Tensor:
        if inputs.shape[1:] == shape:
            passes.append(torch.is_grad_enabled())
        return call(self, params, inputs)

    return counted


def test_one_validation_pass_a_round_serves_payoff_and_both_players(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted on the validation set's own inputs; with null players no gradient is computed at all."""
    for agent, forward_only in ((LevelK(1), False), (Null(), True)):
        game = digits()
        state = game.reset([0])
        passes: list[bool] = []
        with monkeypatch.context() as patch:
            patch.setattr(Victim, "__call__", counting(passes, game.task.validation.inputs.shape))
            for _ in range(2 * 4):
                (player,) = game.movers(state)
                action = agent.act(game.observe(state, player), game.access(state, player))
                state, _, _ = game.step(state, {player: action})
        assert len(passes) == 4 and all(graph != forward_only for graph in passes)


def reachable(root: object, depth: int = 8) -> list[Tensor]:
    """All tensors that lead from an object through attributes, containers and closures."""
    found, seen, frontier = [], set(), [(root, 0)]
    while frontier:
        item, level = frontier.pop()
        if id(item) in seen or level > depth:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            found.append(item)
            continue
        children: list[object] = []
        if isinstance(item, dict):
            children += item.values()
        elif isinstance(item, list | tuple | set):
            children += item
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            children += vars(item).values()
        if getattr(item, "__closure__", None):
            children += [cell.cell_contents for cell in item.__closure__]
        if hasattr(item, "__self__"):
            children.append(item.__self__)
        frontier += [(child, level + 1) for child in children]
    return found


@pytest.mark.parametrize("player", ["attacker", "defender"])
def test_no_path_leads_from_a_player_to_what_is_hidden_from_it(player: str) -> None:
    game = digits()
    state = game.reset([123456789])
    if player == "defender":
        state, _, _ = game.step(state, {"attacker": game.threat.unit(torch.ones_like(state.inputs))})
    known = reachable(game.access(state, player)) + reachable(game.observe(state, player))
    hidden = [game.task.test.inputs, game.task.train.inputs, game.task.test.labels, game.task.train.labels, state.seeds]
    hidden.append(state.order)
    if player == "defender":
        hidden += [state.inputs, state.sample_ids]
    for secret in hidden:
        assert not any(t.untyped_storage().data_ptr() == secret.untyped_storage().data_ptr() for t in known)
        assert not any(t.shape == secret.shape and torch.equal(t, secret) for t in known)


def test_a_rejected_action_leaves_the_state_as_it_was() -> None:
    game = digits()
    state = game.reset([0, 1])
    before = {name: v.clone() if isinstance(v, Tensor) else v for name, v in state.to_dict().items()}
    bad = {
        "shape": torch.zeros(2, 3, 1, 8, 8, dtype=torch.float64),
        "dtype": torch.zeros_like(state.inputs, dtype=torch.float32),
        "nan": torch.full_like(state.inputs, float("nan")),
        "norm": torch.ones_like(state.inputs),
    }
    for action in bad.values():
        with pytest.raises(ActionError):
            game.step(state, {"attacker": action})
    with pytest.raises(PhaseError, match="belongs to attacker"):
        game.step(state, {"defender": torch.zeros_like(state.inputs)})
    after = state.to_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(v, after[n]) if isinstance(v, Tensor) else v == after[n] for n, v in before.items())
    game.step(state, {"attacker": game.null_action(state, "attacker")})


def test_a_match_that_is_over_takes_no_more_moves() -> None:
    state, _ = play(digits(iterations=1), "null", "null", [0])
    with pytest.raises(PhaseError, match="ended after 1 rounds"):
        digits(iterations=1).step(state, {"attacker": torch.zeros_like(state.inputs)})


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"epsilom": 1.0}, UnknownNameError, "did you mean 'epsilon'"),
        ({"epsilon": -1.0}, SettingError, "epsilon"),
        ({"epsilon_attacker": float("nan")}, SettingError, "epsilon_attacker"),
        ({"norm": "l3"}, SettingError, "norm"),
        ({"optimizer": "adan"}, SettingError, "optimizer"),
        ({"batch_size": 1001}, SettingError, "1000 training samples"),
        ({"train_size": 5000}, SettingError, "train_size must lie in"),
        ({"iterations": 3, "epochs": 1}, SettingError, "not both"),
        ({"task": "digit"}, UnknownNameError, "did you mean 'digits'"),
        ({"momentum": 0.5}, SettingError, "momentum applies to optimizer 'momentum'"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make_game("poisoning", **settings)


def test_unknown_games_are_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'poisoning'"):
        make_game("poisonning")


def test_epochs_become_iterations_and_a_partial_minibatch_is_dropped() -> None:
    game = PoisoningGame("digits", epochs=3, batch_size=300)
    assert game.horizon == 9


def test_a_subsample_of_the_validation_set_is_fresh_each_round_and_payoffs_use_all_of_it() -> None:
    whole, part = digits(iterations=2), digits(iterations=2, validation_subsample=7)
    state = part.reset([0])
    assert torch.equal(state.validation_loss, whole.reset([0]).validation_loss)
    first = part.access(state, "defender").validation.gradient
    assert any(not torch.equal(first[n], g) for n, g in whole.access(state, "defender").validation.gradient.items())
    for player in ("attacker", "defender"):
        state, _, _ = part.step(state, {player: part.null_action(state, player)})
    drawn = part.access(state, "attacker").validation._arguments[2]
    assert drawn.shape[1] == 7 and not torch.equal(
        drawn, part.access(part.reset([0]), "attacker").validation._arguments[2]
    )


def test_an_attacker_without_the_validation_set_reasons_with_its_minibatch() -> None:
    """R9: its first-order gradient is that of a game whose validation set is the clean minibatch."""
    game = digits(validation="batch")
    state = game.reset([0])
    attacker, defender = game.access(state, "attacker"), game.access(state, "defender")
    assert torch.equal(attacker.validation._arguments[2], state.inputs)
    torch.testing.assert_close(attacker.validation.gradient, attacker.batch_gradient(state.inputs))
    assert torch.equal(defender.validation.loss, state.validation_loss)


def test_a_user_s_own_victim_and_task_play() -> None:
    from dataclasses import replace

    from advgames.tasks import load_task

    task = replace(load_task("digits", None, 60, 30, 20), make_victim=lambda: Victim(mlp(64, 8)))
    state, _ = play(PoisoningGame(task, batch_size=10, iterations=3), "level-1", "level-1", [0, 1])
    assert torch.isfinite(state.validation_loss).all()


def test_a_task_without_defaults_says_what_it_needs() -> None:
    from dataclasses import replace

    from advgames.tasks import load_task

    bare = replace(load_task("digits", None, 60, 30, 20), defaults={})
    with pytest.raises(SettingError, match="epsilon_attacker, epsilon_defender, batch_size, optimizer, learning_rate"):
        PoisoningGame(bare)


def test_a_batch_larger_than_the_data_or_a_wrong_player_is_refused() -> None:
    game = digits()
    with pytest.raises(SettingError, match="players attacker, defender"):
        game.observe(game.reset([0]), "attaker")


def test_a_budget_is_spent_by_the_largest_norms_and_never_exceeded() -> None:
    """By hand over four iterations: full, half, then what is left, then nothing; each match has its own."""
    game = PoisoningGame("linear-regression", iterations=4, dtype="float64", epsilon=0.1, budget=0.2, batch_size=2)
    state = game.reset([3, 4])
    plans = torch.tensor([[1.0, 0.5, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    spent = torch.tensor([[0.1, 0.05, 0.05, 0.0], [0.0, 0.1, 0.1, 0.0]], dtype=torch.float64)
    for n in range(4):
        left = 0.2 - spent[:, :n].sum(1)
        torch.testing.assert_close(game.observe(state, "attacker")["budget"][:, 0], left / 0.2)
        assert "budget" not in game.observe(state, "defender")
        radius = torch.minimum(left, torch.full_like(left, 0.1))
        torch.testing.assert_close(game.access(state, "attacker").radius, radius)
        torch.testing.assert_close(game.access(state, "defender").opponent_radius, radius)
        push = torch.stack([plans[:, n], -0.5 * plans[:, n]], 1)[..., None]  # the smaller one costs nothing
        state, _, _ = game.step(state, {"attacker": push})
        assert state.attacked is not None
        torch.testing.assert_close(state.attacked - state.inputs, radius[:, None, None] * push)
        state = read_again(state)
        state, _, _ = game.step(state, {"defender": torch.zeros_like(push)})
    assert state.budget is not None and state.budget.abs().max() < 1e-12
    free = PoisoningGame("linear-regression", iterations=4, epsilon=0.1).reset([3])
    assert free.budget is None


def read_again(state: PoisoningState) -> PoisoningState:
    """The state as it is when it was saved and read again."""
    return PoisoningState.from_dict(state.to_dict())


def test_logarithmic_payoffs_add_up_to_the_logarithm_of_the_ratio() -> None:
    same: dict[str, Any] = {"task": "linear-regression", "iterations": 6, "dtype": "float64"}
    plain, logs = (PoisoningGame(**same, payoff=payoff) for payoff in ("loss", "log-loss"))
    (one, _), (two, paid) = (play(game, "level-2", "level-1", [0, 1, 2]) for game in (plain, logs))
    assert torch.equal(one.validation_loss, two.validation_loss)  # the players do the same
    torch.testing.assert_close(sum(paid), (two.validation_loss / two.initial_loss).log())
    game = PoisoningGame("linear-regression", iterations=400, dtype="float64", payoff="log-loss")
    state, paid = play(game, "null", "null", [0])  # the error meets 0: losses below 1e-30 count as that
    assert torch.isfinite(torch.stack(paid)).all()
    torch.testing.assert_close(sum(paid), (state.validation_loss.clamp(min=1e-30) / state.initial_loss).log())
