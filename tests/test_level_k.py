"""Level-k players play what the theorems say: closed forms on R12, central differences of U elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advgames import derivatives, rng
from advgames.agents import InfluenceFunction, LevelK, Momentum, Null, OptimalContraction, make_agent
from advgames.agents.level_k import step_size, white_image_estimate
from advgames.errors import AccessError, PhaseError, SettingError, UnknownNameError
from advgames.games import PoisoningGame, PoisoningState
from advgames.tasks import load_task
from advgames.victims import Victim, digits_cnn, linear_classifier

SEEDS = list(range(64))


def regression(**settings: Any) -> PoisoningGame:
    return PoisoningGame("linear-regression", dtype=torch.float64, **settings)


def after_attack(game: PoisoningGame, state: PoisoningState) -> PoisoningState:
    return game.step(state, {"attacker": game.null_action(state, "attacker")})[0]


@pytest.mark.parametrize("player", ["attacker", "defender"])
def test_on_the_regression_level_1_and_2_are_the_closed_forms(player: str) -> None:
    """A.2.1: delta1 = unit(-x), sigma1 = unit(x'); level 2 flips both where 2 eta x^2 > 1, the step overshooting."""
    game = regression()
    state = game.reset(SEEDS)
    x = state.inputs
    if player == "defender":
        state = after_attack(game, state)
    overshoots = 2 * 0.2 * x**2 > 1
    assert overshoots.any() and not overshoots.all()  # both cases are there
    sign = -1.0 if player == "attacker" else 1.0
    access, observation = game.access(state, player), game.observe(state, player)
    torch.testing.assert_close(LevelK(1).act(observation, access), sign * torch.sign(x), rtol=0, atol=1e-5)
    level_2 = torch.where(overshoots, -sign, sign) * torch.sign(x)
    torch.testing.assert_close(LevelK(2).act(observation, access), level_2, rtol=0, atol=1e-5)


def test_on_the_regression_the_unnormalised_gradients_are_those_of_the_appendix() -> None:
    """A.2.1: level 1 -8 eta (theta*-theta)^2 z^2 x; level 2 with the factor (1 - 2 eta x^2)."""
    game = regression()
    state = game.reset(SEEDS)
    access, x = game.access(state, "attacker"), state.inputs
    first = -8 * 0.2 * 30.0**2 * 50.0**2 * x
    torch.testing.assert_close(access.utility_gradient(x, "first"), first, rtol=1e-10, atol=0)
    torch.testing.assert_close(access.utility_gradient(x, "second"), first * (1 - 2 * 0.2 * x**2), rtol=1e-9, atol=1e-6)
    exact = torch.autograd.functional.jacobian(lambda p: closed_form_utility(p).sum(), x)
    torch.testing.assert_close(access.utility_gradient(x, "exact"), exact, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(access.utility(x), closed_form_utility(x), rtol=1e-9, atol=1e-6)


def closed_form_utility(x: Tensor, eta: float = 0.2) -> Tensor:
    """U = 50^2 [(theta' - theta*)^2 - (theta - theta*)^2], theta' - theta* = (theta - theta*)(1 - 2 eta x^2)."""
    return 50.0**2 * 30.0**2 * ((1 - 2 * eta * x[..., 0, 0] ** 2) ** 2 - 1)


def smooth_game(**settings: Any) -> PoisoningGame:
    task = replace(load_task("digits", None, 60, 25, 20), make_victim=lambda: Victim(digits_cnn(nn.Tanh)))
    defaults = {"batch_size": 4, "iterations": 4, "optimizer": "sgd", "learning_rate": 0.3}
    return PoisoningGame(task, dtype=torch.float64, **{**defaults, **settings})


def trained(game: PoisoningGame, rounds: int) -> PoisoningState:
    state = game.reset([0, 1])
    for _ in range(rounds):
        for player in game.players:
            state, _, _ = game.step(state, {player: game.null_action(state, player)})
    return state


def central_difference(value: Any, x: Tensor, entries: list[tuple[int, ...]], h: float = 1e-5) -> Tensor:
    """d value[g] / d x[g, ...] for every match g at the given entries (indices behind g)."""
    slopes = []
    for entry in entries:
        up, down = x.clone(), x.clone()
        up[(slice(None), *entry)] += h
        down[(slice(None), *entry)] -= h
        slopes.append((value(up) - value(down)) / (2 * h))
    return torch.stack(slopes, 1)


def quadratic_utility(game: PoisoningGame, state: PoisoningState, x: Tensor) -> Tensor:
    """U with the validation loss cut after its second-order term at theta: what a level-2 player sees, by autograd."""
    values = []
    points = game.task.validation
    for g in range(len(x)):
        theta = {n: p[g] for n, p in state.params.items()}

        def loss(p: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(torch.func.functional_call(game.victim.module, p, (inputs,)), labels)

        step = torch.func.grad(loss)(theta, x[g], state.labels[g])
        delta = {n: -game.optimizer.learning_rate * s for n, s in step.items()}
        slope, bend = torch.func.jvp(
            lambda p, delta=delta: torch.func.jvp(lambda q: loss(q, points.inputs, points.labels), (p,), (delta,))[1],
            (theta,),
            (delta,),
        )
        values.append(slope + 0.5 * bend)
    return torch.stack(values)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_exact_utility_gradient_equals_central_differences_of_u_through_the_real_optimiser(optimizer: str) -> None:
    game = smooth_game(optimizer=optimizer, learning_rate=0.01)
    state = trained(game, 2)
    access, entries = game.access(state, "attacker"), probes(state)
    differences = central_difference(access.utility, state.inputs, entries)
    ours = torch.stack([access.utility_gradient(state.inputs, "exact")[(slice(None), *e)] for e in entries], 1)
    assert ((ours - differences).norm(dim=1) <= 1e-4 * differences.norm(dim=1)).all()


def probes(state: PoisoningState) -> list[tuple[int, ...]]:
    rows, columns = rng.permutation(rng.seed_tensor([9]), "probe", 0, 8)[0].tolist(), range(8)
    return [(i % state.inputs.shape[1], 0, r, c) for i, (r, c) in enumerate(zip(rows, columns, strict=True))]


@pytest.mark.parametrize("level", [1, 2])
def test_level_1_and_2_gradients_equal_central_differences_of_the_utilities_they_see(level: int) -> None:
    """Level 1: U linear in theta; level 2: U quadratic in theta with the curvature term halved by the chain rule."""
    game = smooth_game()
    state = trained(game, 2)
    access, entries = game.access(state, "attacker"), probes(state)
    if level == 1:
        gradient = access.validation.gradient

        def seen(x: Tensor) -> Tensor:
            return -game.optimizer.learning_rate * derivatives.dot(gradient, access.batch_gradient(x))
    else:

        def seen(x: Tensor) -> Tensor:
            return quadratic_utility(game, state, x)

    differences = central_difference(seen, state.inputs, entries)
    order = "first" if level == 1 else "second"
    ours = torch.stack([access.utility_gradient(state.inputs, order)[(slice(None), *e)] for e in entries], 1)
    assert ((ours - differences).norm(dim=1) <= 1e-4 * differences.norm(dim=1)).all()


@pytest.mark.parametrize(("level", "eta"), [(1, 1e-5), (2, 1e-3)])
def test_level_1_and_2_equal_central_differences_of_the_true_utility_where_steps_are_small(
    level: int, eta: float
) -> None:
    """U itself, through the game's own update and validation pass; level 1 errs by O(eta), level 2 by O(eta^2)."""
    game = smooth_game(learning_rate=eta)
    state = trained(smooth_game(), 3)
    access, entries = game.access(state, "attacker"), probes(state)
    differences = central_difference(access.utility, state.inputs, entries, h=1e-3)
    ours = access.utility_gradient(state.inputs, "first" if level == 1 else "second")
    probed = torch.stack([ours[(slice(None), *e)] for e in entries], 1)
    assert ((probed - differences).norm(dim=1) <= 1e-4 * differences.norm(dim=1)).all()


def test_small_steps_make_all_three_orders_agree_and_large_ones_rank_them() -> None:
    """As eta falls, first and second order approach the exact gradient, second faster."""
    errors = {}
    for eta in (0.2, 0.02):
        game = smooth_game(learning_rate=eta)
        state = trained(game, 2)
        access = game.access(state, "attacker")
        exact = access.utility_gradient(state.inputs, "exact")
        for order in ("first", "second"):
            errors[eta, order] = float((access.utility_gradient(state.inputs, order) - exact).norm() / exact.norm())  # type: ignore[arg-type]
    assert errors[0.2, "second"] < errors[0.2, "first"]
    assert errors[0.02, "first"] < 0.15 * errors[0.2, "first"]  # linear in eta
    assert errors[0.02, "second"] < 0.02 * errors[0.2, "second"]  # quadratic in eta


def test_players_reason_the_same_where_the_caller_switched_gradients_off() -> None:
    game = smooth_game()
    state = trained(game, 1)
    access, observation = game.access(state, "attacker"), game.observe(state, "attacker")
    for agent in (LevelK(1), LevelK(2), LevelK(3, steps=2, gradient="exact"), OptimalContraction()):
        expected = agent.act(observation, access)
        with torch.no_grad():
            assert torch.equal(agent.act(observation, game.access(state, "attacker")), expected)


def test_one_infinite_projected_step_is_level_1() -> None:
    game = smooth_game()
    state = trained(game, 1)
    attacked = after_attack(game, state)
    for current, player in ((state, "attacker"), (attacked, "defender")):
        observation, access = game.observe(current, player), game.access(current, player)
        pgd = LevelK(1, method="pgd", steps=1)
        torch.testing.assert_close(pgd.act(observation, access), LevelK(1).act(observation, access))


def test_the_nested_gradient_follows_equation_9_step_by_step() -> None:
    game = smooth_game(epsilon_attacker=0.7, epsilon_defender=0.4)
    state = trained(game, 1)
    access, threat, x = game.access(state, "attacker"), game.threat, state.inputs
    delta = sigma = torch.zeros_like(x)
    for _ in range(3):
        attacked = (x + 0.7 * delta).clamp(0, 1)
        delta = threat.unit(access.utility_gradient((attacked + 0.4 * sigma).clamp(0, 1)))
        attacked = (x + 0.7 * delta).clamp(0, 1)
        sigma = threat.unit(-access.utility_gradient((attacked + 0.4 * sigma).clamp(0, 1)))
    torch.testing.assert_close(LevelK(3, steps=3).act(game.observe(state, "attacker"), access), delta)


def test_finite_nested_steps_use_each_player_s_own_radius() -> None:
    """Eq. 9 with Gamma_k / eps_atk for the attacker and Gamma_{k-1} / eps_def for the imagined defender."""
    game = smooth_game(epsilon_attacker=1.3, epsilon_defender=0.2)
    state = trained(game, 1)
    access, threat, x = game.access(state, "attacker"), game.threat, state.inputs
    m = torch.tensor(0.2, dtype=torch.float64)
    gamma_3, gamma_2 = 1 / (m**2 * 9 * (1 + 2 * m * 1.3)), 1 / (m**2 * 4)
    delta = sigma = torch.zeros_like(x)
    for _ in range(3):
        repaired = ((x + 1.3 * delta).clamp(0, 1) + 0.2 * sigma).clamp(0, 1)
        delta = threat.project(delta + gamma_3 / 1.3 * access.utility_gradient(repaired))
        repaired = ((x + 1.3 * delta).clamp(0, 1) + 0.2 * sigma).clamp(0, 1)
        sigma = threat.project(sigma - gamma_2 / 0.2 * access.utility_gradient(repaired))
    agent = LevelK(3, steps=3, finite_steps=True, m=0.2)
    agent.reset(access)
    torch.testing.assert_close(agent.act(game.observe(state, "attacker"), access), delta, rtol=1e-9, atol=1e-12)
    assert 0.01 < float(threat.norms(delta).max()) < 1  # inside the ball: the step sizes show
    assert float(threat.norms(sigma).max()) < 1


def test_options_of_projected_steps_make_low_levels_project() -> None:
    game = smooth_game(learning_rate=0.5)
    state = trained(game, 1)
    access, observation = game.access(state, "attacker"), game.observe(state, "attacker")
    exact = LevelK(1, gradient="exact", steps=1).act(observation, access)
    expected = game.threat.unit(access.utility_gradient(state.inputs, "exact"))
    torch.testing.assert_close(exact, expected)
    assert not torch.allclose(exact, LevelK(1).act(observation, access))


def test_the_defender_s_projected_gradient_lowers_the_utility_more_with_more_finite_steps() -> None:
    game = smooth_game(epsilon=1.0)
    state = after_attack(game, trained(game, 2))
    access, observation = game.access(state, "defender"), game.observe(state, "defender")

    def reached(steps: int) -> Tensor:
        agent = LevelK(3, gradient="exact", steps=steps, finite_steps=True, m=0.5)
        agent.reset(access)
        sigma = agent.act(observation, access)
        assert (game.threat.norms(sigma) <= 1 + 1e-9).all()
        return access.utility(game.threat.perturb(observation["inputs"], sigma, access.radius))

    assert (reached(20) < reached(3)).all() and (reached(3) < access.utility(observation["inputs"])).all()


def test_gamma_and_the_number_of_steps_are_those_of_the_paper_for_mnist() -> None:
    """B.3.2 with M = 0.203, eps = 3: Gamma_2..4 = 6.07, 1.22, 0.31; max(k, ceil(2 / Gamma_k)) = 2, 3, 7."""
    m, radius = torch.tensor([0.203]), torch.tensor([3.0])
    gammas = [step_size(k, m, radius).item() for k in (2, 3, 4)]
    assert gammas == pytest.approx([6.07, 1.22, 0.31], abs=0.005)
    assert step_size(1, m, radius).item() == float("inf")
    game = PoisoningGame("digits", train_size=60, batch_size=10, iterations=1, epsilon=3.0)
    access = game.access(game.reset([0]), "attacker")
    counts = []
    for k in (2, 3, 4):
        agent = LevelK(k, method="pgd", m=0.203)
        agent.reset(access)
        counts.append(agent.num_steps(access).item())
    assert counts == [2, 3, 7]


def test_m_is_the_change_of_the_validation_loss_after_training_on_a_white_image() -> None:
    game = smooth_game(optimizer="adam", learning_rate=8e-4)
    state = game.reset([0, 1])
    white, label = torch.ones(2, 1, 1, 8, 8, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.int64)
    _, gradient = derivatives.loss_and_gradient(game.victim, state.params, white, label, 10)
    moved, _ = game.optimizer.update(state.params, gradient, state.buffers)
    points = game.task.validation
    rise = [
        nn.functional.cross_entropy(
            torch.func.functional_call(game.victim.module, {n: p[g] for n, p in moved.items()}, (points.inputs,)),
            points.labels,
        ).item()
        - state.validation_loss[g].item()
        for g in range(2)
    ]
    assert white_image_estimate(game.access(state, "attacker")).tolist() == pytest.approx(
        [8 * abs(r) for r in rise], rel=1e-6
    )


def logistic_game() -> PoisoningGame:
    task = load_task("digits", None, 60, 40, 20)
    task = replace(task, make_victim=lambda: Victim(linear_classifier(64, 10)))
    return PoisoningGame(task, dtype=torch.float64, batch_size=6, iterations=3, optimizer="sgd", learning_rate=0.5)


@pytest.mark.parametrize("curvature", ["gauss-newton", "hessian"])
@pytest.mark.parametrize("player", ["attacker", "defender"])
def test_contraction_and_influence_equal_their_formulas_with_the_explicit_inverse(curvature: str, player: str) -> None:
    """Corollary 1 and eq. 8 on logistic regression, where the Hessian is the Gauss-Newton matrix."""
    game = logistic_game()
    state = trained(game, 1)
    if player == "defender":
        state = after_attack(game, state)
    observation, access = game.observe(state, player), game.access(state, player)
    x, sign = observation["inputs"], (1.0 if player == "attacker" else -1.0)
    damping = 0.05
    basis = torch.eye(650, dtype=torch.float64)
    names, shapes = list(state.params), [p.shape[1:] for p in state.params.values()]

    def as_params(vectors: Tensor) -> dict[str, Tensor]:
        pieces = vectors.split([s.numel() for s in shapes], dim=1)
        return {n: p.reshape(2, *s) for n, p, s in zip(names, pieces, shapes, strict=True)}

    def as_vectors(params: dict[str, Tensor]) -> Tensor:
        return torch.cat([params[n].flatten(1) for n in names], 1)

    columns = [as_vectors(access.validation.product(as_params(b.expand(2, -1)), "hessian")) for b in basis]
    hessian = torch.stack(columns, 2) + damping * basis
    inverse = torch.linalg.solve(hessian, as_vectors(access.validation.gradient))
    own = as_vectors(access.batch_gradient(x))
    for agent_type, vector in ((InfluenceFunction, inverse), (OptimalContraction, inverse - 0.5 * own)):
        agent = agent_type(curvature=curvature, damping=damping, tolerance=1e-10, max_iterations=2000)  # type: ignore[arg-type]
        expected = game.threat.unit(-sign * access.mixed_derivative(x, as_params(vector)))
        torch.testing.assert_close(agent.act(observation, access), expected, rtol=1e-6, atol=1e-7)
        assert agent.last_solve is not None and (agent.last_solve.residual <= 1e-10).all()


def test_negative_curvature_of_the_plain_hessian_is_said() -> None:
    game = smooth_game(learning_rate=0.01)
    state = trained(game, 2)
    with pytest.warns(RuntimeWarning, match="not positive definite"):
        InfluenceFunction(curvature="hessian", damping=0.0).act(
            game.observe(state, "attacker"), game.access(state, "attacker")
        )


def test_momentum_averages_each_input_s_own_history() -> None:
    """h <- Proj(0.9 h + 0.1 delta), kept per training sample; after n equal moves its norm is 1 - 0.9^n."""
    game = smooth_game(iterations=45)
    state, agent, plain = game.reset([0]), Momentum(LevelK(1), beta=0.9), LevelK(1)
    agent.reset(game.access(state, "attacker"))
    history: dict[int, Tensor] = {}
    while not game.over(state):
        access, observation = game.access(state, "attacker"), game.observe(state, "attacker")
        moves, played = plain.act(observation, access)[0], agent.act(observation, access)
        for j, sample in enumerate(state.sample_ids[0].tolist()):
            history[sample] = 0.9 * history.get(sample, torch.zeros_like(moves[j])) + 0.1 * moves[j]
            torch.testing.assert_close(played[0, j], history[sample])
        state, _, _ = game.step(state, {"attacker": played})
        state, _, _ = game.step(state, {"defender": game.null_action(state, "defender")})
    assert max(h.norm().item() for h in history.values()) <= 1 - 0.9**3 + 1e-9


def test_agents_show_their_settings_without_being_told_how() -> None:
    class Scaled(Null):
        def __init__(self, scale: float = 1.0, hidden: int = 0) -> None:
            self.scale, self._hidden = scale, hidden

    assert repr(Scaled(0.1)) == "Scaled(scale=0.1, hidden=?)" and repr(OptimalContraction()) == "OptimalContraction()"


def test_an_agent_that_was_not_reset_says_so() -> None:
    game = smooth_game()
    state = game.reset([0])
    with pytest.raises(PhaseError, match="call reset"):
        LevelK(3).act(game.observe(state, "attacker"), game.access(state, "attacker"))


def test_the_defender_cannot_have_a_history() -> None:
    game = smooth_game()
    state = after_attack(game, game.reset([0]))
    with pytest.raises(AccessError, match="cannot recognise inputs"):
        Momentum(Null()).reset(game.access(state, "defender"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level-0", "Null()"),
        ("level-2", "LevelK(k=2)"),
        ("level-3(gradient=exact, steps=4)", "LevelK(k=3, gradient='exact', steps=4)"),
        ("level-1 + momentum(beta=0.9)", "Momentum(agent=LevelK(k=1), beta=0.9)"),
        ("advgames.agents:RandomDirection", "RandomDirection()"),
        ("level-3(m=1e+3)+momentum", "Momentum(agent=LevelK(k=3, m=1000.0))"),
    ],
)
def test_agents_are_read_from_text(text: str, expected: str) -> None:
    assert repr(make_agent(text)) == expected


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("levle-1", UnknownNameError, "did you mean 'level-"),
        ("level-1+momentun", UnknownNameError, "did you mean 'momentum'"),
        ("level-1(stepz=3)", UnknownNameError, "unknown option .*did you mean 'steps'"),
        ("level-1(steps=2.5)", SettingError, "integer"),
        ("level-1(steps=true)", SettingError, "integer"),
        ("level-2(method=closed, gradient=exact)", SettingError, "closed forms take no options"),
        ("level-3(method=closed)", SettingError, "levels 1 and 2 only"),
        ("level-1(steps)", SettingError, "name=value"),
        ("nowhere:Agent", SettingError, "cannot be imported"),
        ("level-1(", SettingError, "cannot read"),
    ],
)
def test_agents_nobody_knows_are_refused_by_name(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make_agent(text)


def test_projected_levels_on_the_regression_see_the_overshoot_only_with_the_second_order_gradient() -> None:
    """Eq. 9-10 use eq. 7's gradient: level 3 plays like level 1 there, and like level 2 with ``gradient="second"``."""
    game = regression()
    state = after_attack(game, game.reset(SEEDS))
    access, observation = game.access(state, "defender"), game.observe(state, "defender")
    far = (observation["inputs"] - 2.5**0.5).abs() > 0.11  # a step of epsilon does not cross the switch
    for gradient, like in (("first", LevelK(1)), ("second", LevelK(2))):
        level_3 = LevelK(3, gradient=gradient, steps=3).act(observation, access)  # type: ignore[arg-type]
        assert torch.equal(level_3[far], like.act(observation, access)[far])
