"""What the attacks share: matches of a batch, chunks, random starts, hooks, losses and norms."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advgames import rng
from advgames.attacks import (
    L1,
    L2,
    LINF,
    Attacked,
    Geometry,
    Norm,
    bim,
    carlini_wagner,
    cross_entropy,
    deepfool,
    dlr,
    ead,
    ensemble,
    every_rival,
    fgm,
    margin,
    pal_vidal_pgd,
    pgd,
)
from advgames.attacks.losses import rival, slope_of
from advgames.errors import InputError, SettingError, UnknownNameError, VictimError

GEOMETRIES = pytest.mark.parametrize("geometry", [L1, L2, LINF], ids=["l1", "l2", "linf"])
RUNS: dict[str, Callable[..., Attacked]] = {
    "fgm": functools.partial(fgm, radius=0.3),
    "bim": functools.partial(bim, radius=0.05),
    "pgd": functools.partial(pgd, radius=0.3, steps=5),
    "pgd, random": functools.partial(pgd, radius=0.3, steps=5, start="random", restarts=2, norm="l1"),
    "pal-vidal-pgd": functools.partial(pal_vidal_pgd, radius=0.3, sign="label"),
    "deepfool": deepfool,
    "deepfool, linf": functools.partial(deepfool, norm="linf"),
    "carlini-wagner": functools.partial(carlini_wagner, steps=20, search_steps=3),
    "ead": functools.partial(ead, steps=20, search_steps=3),
    "ensemble": ensemble(functools.partial(fgm, radius=0.3), functools.partial(pgd, radius=0.2)),
    "every rival": every_rival(functools.partial(fgm, radius=0.3)),
}
every_attack = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def draws(name: str, *shape: int) -> Tensor:
    found: Tensor = rng.normal(rng.seed_tensor([0]), name, 0, shape, dtype=torch.float64)[0]
    return found


class Stack:
    """A net of its own for each of G matches: logits (G, B, 4) of inputs (G, B, 3, 5)."""

    def __init__(self, matches: int = 3) -> None:
        self.first, self.second = draws("first", matches, 15, 16), draws("second", matches, 16, 4)

    def __call__(self, inputs: Tensor) -> Tensor:
        return torch.tanh((inputs.flatten(2) - 0.5) @ self.first) @ self.second

    def match(self, i: int) -> Callable[[Tensor], Tensor]:
        """The victim of match i alone, of plain batches (B, 3, 5)."""
        return lambda inputs: torch.tanh((inputs.flatten(1) - 0.5) @ self.first[i]) @ self.second[i]


@pytest.fixture
def stacked() -> tuple[Stack, Tensor, Tensor]:
    victim = Stack()
    inputs = rng.uniform(rng.seed_tensor([1]), "inputs", 0, (3, 11, 3, 5), torch.float64)[0]
    return victim, inputs, victim(inputs).argmax(-1)


# Matches, inputs and chunks are each on their own.


@every_attack
def test_a_match_of_a_batch_plays_as_it_plays_alone(
    run: Callable[..., Attacked], stacked: tuple[Stack, Tensor, Tensor]
) -> None:
    victim, inputs, labels = stacked
    seeds = torch.tensor([5, 6, 7])
    seeded = {"seed": seeds} if run is RUNS["pgd, random"] else {}
    together = run(victim, inputs, labels, **seeded)
    assert together.perturbed.shape == inputs.shape and together.success.shape == labels.shape
    for i in range(3):
        one = {"seed": seeds[i : i + 1]} if seeded else {}
        alone = run(lambda x, i=i: victim.match(i)(x[0])[None], inputs[i : i + 1], labels[i : i + 1], **one)
        torch.testing.assert_close(together.perturbed[i], alone.perturbed[0], rtol=0, atol=1e-9)
        assert torch.equal(together.success[i], alone.success[0])


@every_attack
def test_an_input_is_attacked_as_if_it_were_alone_and_a_match_may_be_a_plain_batch(
    run: Callable[..., Attacked], stacked: tuple[Stack, Tensor, Tensor]
) -> None:
    victim, inputs, labels = stacked
    net, x, y = victim.match(0), inputs[0], labels[0]
    seeds = torch.arange(len(x))
    seeded = run is RUNS["pgd, random"]
    together = run(net, x, y, **({"seed": seeds} if seeded else {}))
    for i in (0, 4, 10):
        alone = run(net, x[i : i + 1], y[i : i + 1], **({"seed": seeds[i : i + 1]} if seeded else {}))
        torch.testing.assert_close(together.perturbed[i], alone.perturbed[0], rtol=0, atol=1e-9)
        assert together.success[i] == alone.success[0]


@every_attack
@pytest.mark.parametrize("size", [1, 4, None])
def test_chunks_of_matches_change_no_answer(
    run: Callable[..., Attacked], size: int | None, stacked: tuple[Stack, Tensor, Tensor]
) -> None:
    whole, parts = run(*stacked), run(*stacked, chunk_size=size)
    torch.testing.assert_close(parts.perturbed, whole.perturbed, rtol=0, atol=1e-9)
    assert torch.equal(parts.success, whole.success)


def test_the_victim_sees_no_more_inputs_at_once_than_a_chunk_holds(stacked: tuple[Stack, Tensor, Tensor]) -> None:
    victim, inputs, labels = stacked
    seen: set[int] = set()

    def noting(x: Tensor) -> Tensor:
        seen.add(x.shape[1])
        return victim(x)

    for size, expected in ((4, {4, 3}), (1, {1}), ("auto", {11}), (None, {11})):
        seen.clear()
        pgd(noting, inputs, labels, radius=0.1, steps=2, chunk_size=size)
        assert seen == expected
    many = torch.zeros(10, 10_000, 2)
    seen.clear()
    fgm(lambda x: (seen.add(x.shape[1]), x)[1], many, torch.zeros(10, 10_000, dtype=torch.int64), radius=0.1)
    assert len(seen) > 1 and max(seen) < 10_000
    with pytest.raises(SettingError, match="chunk_size"):
        fgm(victim, inputs, labels, radius=0.1, chunk_size=0)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("size", ["auto", 4])
def test_radii_and_step_sizes_may_differ_by_match_or_input(
    norm: Norm, size: int, stacked: tuple[Stack, Tensor, Tensor]
) -> None:
    victim, inputs, labels = stacked
    each = torch.linspace(0.0, 0.4, 33, dtype=torch.float64).reshape(3, 11)
    for radius in (each[:, :1], each):
        answer = pgd(
            *stacked, radius=radius, step_size=radius / 4, norm=norm, chunk_size=size, start=lambda x: 0.9 * x + 0.05
        )
        for i, j in ((0, 0), (1, 3), (2, 10)):
            r = float(radius.expand(3, 11)[i, j])
            alone = pgd(
                *(victim.match(i), inputs[i, j : j + 1], labels[i, j : j + 1]),
                radius=r,
                step_size=r / 4,
                norm=norm,
                start=lambda x: 0.9 * x + 0.05,
            )
            torch.testing.assert_close(answer.perturbed[i, j], alone.perturbed[0])
        order = {"l1": 1.0, "l2": 2.0, "linf": torch.inf}[norm]
        lengths = torch.linalg.vector_norm((answer.perturbed - inputs).flatten(2), order, dim=2)
        assert (lengths <= radius + 1e-12).all() and torch.equal(answer.perturbed[0, 0], inputs[0, 0])


def test_a_victim_that_carries_something_per_input_asks_for_no_chunks() -> None:
    net = Stack().match(0)
    inputs, defence = draws("inputs", 9, 3, 5), draws("defence", 9, 3, 5)

    def defended(x: Tensor) -> Tensor:
        return net(x + defence)

    labels = defended(inputs).argmax(-1)
    for attack in (functools.partial(pgd, radius=0.5), deepfool):
        answer = attack(defended, inputs, labels, bounds=None, chunk_size=None)
        assert torch.equal(defended(answer.perturbed).argmax(-1) != labels, answer.success)
        with pytest.raises(RuntimeError):
            attack(defended, inputs, labels, bounds=None, chunk_size=4)


def test_an_empty_batch_has_an_empty_answer() -> None:
    net = Stack().match(0)
    for run in RUNS.values():
        answer = run(net, torch.rand(0, 3, 5, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
        assert answer.perturbed.shape == (0, 3, 5) and answer.success.shape == (0,)


# Starts and restarts.


def test_random_starts_do_not_depend_on_the_size_of_the_batch() -> None:
    x, y = rng.uniform(rng.seed_tensor([3]), "x", 0, (12, 5), torch.float64)[0], torch.arange(12) % 4
    weight = draws("weight", 5, 4)
    run = functools.partial(pgd, lambda points: points @ weight, radius=0.5, start="random", restarts=2, steps=3)
    whole, part = run(x, y, seed=3).perturbed, run(x[:4], y[:4], seed=3).perturbed
    assert torch.equal(whole[:4], part)
    assert len(torch.unique(run(x[:1].expand(12, 5), y[:1].expand(12), seed=3).perturbed, dim=0)) == 12
    matches, seeds = x.reshape(3, 4, 5), torch.tensor([5, 6, 7])
    whole, part = run(matches, y.reshape(3, 4), seed=seeds), run(matches[:, :2], y.reshape(3, 4)[:, :2], seed=seeds)
    assert torch.equal(whole.perturbed[:, :2], part.perturbed)


@GEOMETRIES
def test_random_points_fill_the_unit_ball_uniformly(geometry: Geometry) -> None:
    points = geometry.random(rng.seed_tensor([0]), 0, (4000, 3), torch.float64)[0]
    lengths = geometry.length(points)[:, 0]
    assert lengths.max() <= 1
    assert torch.allclose(points.mean(0), torch.zeros(3, dtype=torch.float64), atol=0.03)
    for radius in (0.5, 0.8):  # the share within radius r of a ball in three dimensions is r^3
        assert float((lengths <= radius).double().mean()) == pytest.approx(radius**3, abs=0.03)
    assert not torch.equal(points, geometry.random(rng.seed_tensor([0]), 1, (4000, 3), torch.float64)[0])


def test_starting_points_may_be_given_or_computed(stacked: tuple[Stack, Tensor, Tensor]) -> None:
    victim, inputs, labels = stacked
    start = (inputs + 0.05).clamp(max=1.0)
    run = functools.partial(pgd, victim, inputs, labels, radius=0.3, steps=1, step_size=0.1, norm="linf")
    given, computed = run(start=start), run(start=lambda x: (x + 0.05).clamp(max=1.0))
    assert torch.equal(given.perturbed, computed.perturbed)
    moved = given.perturbed - start
    inside = (given.perturbed > 0) & (given.perturbed < 1)
    assert torch.allclose(moved[inside].abs(), torch.tensor(0.1, dtype=torch.float64))
    with pytest.raises(InputError, match="starting points"):
        run(start=start[:, :2])
    with pytest.raises(UnknownNameError, match="random"):
        run(start="randm")
    with pytest.raises(SettingError, match="seeds"):
        run(start="random", seed=torch.tensor([1, 2]))


def test_a_match_s_seed_is_its_own() -> None:
    inputs, labels = torch.full((3, 2, 4), 0.5), torch.zeros(3, 2, dtype=torch.int64)
    starts = pgd(
        lambda x: 0.0 * x, inputs, labels, radius=0.3, steps=1, start="random", seed=torch.tensor([7, 8, 7])
    ).perturbed
    assert torch.equal(starts[0], starts[2]) and not torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0, 0], starts[0, 1])


def test_restarts_lose_no_success_and_keep_the_largest_objective(stacked: tuple[Stack, Tensor, Tensor]) -> None:
    victim, inputs, labels = stacked
    run = functools.partial(pgd, victim, inputs, labels, radius=0.4, steps=3, start="random", loss="margin")
    values = [margin(victim(run(restarts=n).perturbed), labels) for n in (1, 2, 5)]
    assert (values[0] <= values[1]).all() and (values[1] <= values[2]).all()
    assert (values[0] < values[2]).any()


# Losses.


def test_margin_is_carlini_and_wagner_s_with_the_correct_sign_for_targets() -> None:
    logits, labels = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]]), torch.tensor([0, 0])
    assert margin(logits, labels).tolist() == [-1.0, 5.0]  # max_{i != y} Z_i - Z_y
    assert rival(1)(logits, labels).tolist() == [-2.0, 5.0]
    assert rival(2)(logits, labels).tolist() == [-1.0, 1.0]
    assert dlr(logits, labels).tolist() == [-0.5, 1.0]


@pytest.mark.parametrize(
    "loss", [cross_entropy, margin, dlr, rival(2)], ids=["cross-entropy", "margin", "dlr", "rival"]
)
def test_slopes_point_along_the_losses_derivatives(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, labels = draws("logits", 3, 7, 5).requires_grad_(), torch.arange(21).reshape(3, 7) % 5
    (derivative,) = torch.autograd.grad(loss(logits, labels).sum(), logits)
    slope = slope_of(loss)(logits.detach(), labels)
    assert torch.allclose(nn.functional.normalize(slope, dim=-1), nn.functional.normalize(derivative, dim=-1))


def test_cross_entropy_keeps_its_direction_where_the_victim_is_certain() -> None:
    """At a margin of 200 the gradient of float32 cross-entropy is zero; its direction is that of the logits' gap."""
    weight = torch.tensor([[100.0, -100.0], [50.0, 20.0]])
    inputs, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    answer = fgm(lambda x: x @ weight, inputs, labels, radius=1.0, bounds=None)
    expected = inputs + torch.tensor([[-200.0, -30.0]]) / torch.tensor([[-200.0, -30.0]]).norm()
    assert torch.allclose(answer.perturbed, expected)


def test_tiny_gradients_still_give_a_step_of_the_whole_radius() -> None:
    weight = 1e-25 * torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    answer = fgm(lambda x: x @ weight, torch.ones(1, 2), torch.tensor([0]), radius=1.0, bounds=None)
    assert torch.allclose(answer.perturbed, 1 - torch.tensor([[0.6, 0.8]]))


# Norms, and hooks in their place.


@GEOMETRIES
def test_projection_is_the_nearest_point_of_the_ball(geometry: Geometry) -> None:
    delta, inside = draws("delta", 40, 4), 0.01 * draws("inside", 40, 4)
    projected = geometry.project(delta, 0.7)
    assert torch.equal(geometry.project(inside, 0.7), inside)
    assert (geometry.length(projected) <= 0.7 + 1e-12).all()
    others = 0.7 * geometry.random(rng.seed_tensor([0]), 0, (2000, 4), torch.float64)[0]
    nearest = torch.cdist(delta, others).amin(1)
    assert ((delta - projected).norm(dim=1) <= nearest + 1e-12).all()
    each = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    assert torch.allclose(geometry.project(delta, each)[20], geometry.project(delta[20:21], float(each[20]))[0])


@GEOMETRIES
def test_the_steepest_step_gains_the_dual_norm_and_no_step_of_its_length_gains_more(geometry: Geometry) -> None:
    gradient = draws("gradient", 40, 4)
    step = geometry.step(gradient, 0.7, torch.zeros_like(gradient), None)
    gain = (step * gradient).sum(1, keepdim=True)
    assert torch.allclose(geometry.length(step), torch.full((40, 1), 0.7, dtype=torch.float64))
    assert torch.allclose(gain, 0.7 * geometry.dual(gradient))
    others = 0.7 * geometry.random(rng.seed_tensor([0]), 0, (2000, 4), torch.float64)[0]
    assert ((gradient @ others.T).amax(1, keepdim=True) <= gain).all()
    assert torch.equal(geometry.step(0 * gradient, 0.7, gradient, None), 0 * gradient)


def test_functions_of_the_user_stand_in_for_loss_step_and_projection(stacked: tuple[Stack, Tensor, Tensor]) -> None:
    victim, inputs, labels = stacked

    def raw_step(gradient: Tensor, size: float | Tensor, point: Tensor, bounds: object) -> Tensor:
        return size * gradient

    def other_class(logits: Tensor, labels: Tensor) -> Tensor:
        return logits[..., 3] - logits[..., 2]

    own = L2._replace(step=raw_step, project=lambda delta, radius: delta)
    run = functools.partial(pgd, victim, inputs, labels, radius=1.0, bounds=None, steps=1, step_size=0.01)
    leaf = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(other_class(victim(leaf), labels).sum(), leaf)
    assert torch.allclose(run(norm=own, loss=other_class).perturbed, inputs + 0.01 * gradient)
    with pytest.raises(UnknownNameError, match="linf"):
        run(norm="inf")
    with pytest.raises(UnknownNameError, match="margin"):
        run(loss="margins")


# Victims and requests that are refused.


@pytest.mark.parametrize(
    ("victim", "says"),
    [
        (lambda x: x.flatten(1).sum(1), "shape"),
        (lambda x: x.flatten(1)[:, :1], "at least 2 classes"),
        (lambda x: x.flatten(1).argmax(1), "floats"),
        (lambda x: (x, x), "got tuple"),
        (lambda x: x.flatten(1).detach(), "no gradient"),
        (lambda x: torch.ones(len(x), 3, requires_grad=True) * 1.0, "do not depend"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(15, track_running_stats=False)).eval(), "by the batch itself"),
        (nn.Sequential(nn.Flatten(), nn.RReLU()), "random"),
        (nn.Sequential(nn.InstanceNorm1d(3, track_running_stats=True), nn.Flatten()), "changes itself"),
        (lambda x: x.flatten(1).sqrt() - 10, "gradient of the victim's logits"),
    ],
)
def test_what_is_no_victim_is_refused_by_name(victim: Callable[[Tensor], Tensor], says: str) -> None:
    inputs = torch.zeros(4, 3, 5)
    with pytest.raises(VictimError, match=says):
        pgd(victim, inputs, torch.zeros(4, dtype=torch.int64), radius=0.1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"radius": None}, "radius must be given"),
        ({"radius": torch.tensor([[0.1], [-0.1], [0.1]])}, "not negative"),
        ({"radius": torch.zeros(2)}, "does not broadcast"),
        ({"radius": float("inf")}, "finite"),
        ({"step_size": -1.0}, "step_size"),
        ({"inputs": [[0.0]]}, "must be tensors"),
        ({"labels": torch.tensor(1)}, "at least one dimension"),
    ],
)
def test_what_no_attack_can_start_from_is_refused_by_name(
    change: dict[str, object], says: str, stacked: tuple[Stack, Tensor, Tensor]
) -> None:
    given = dict(zip(("model", "inputs", "labels"), stacked, strict=True)) | {"radius": 0.1} | change
    with pytest.raises(InputError, match=says):
        pgd(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("attack", [carlini_wagner, ead])
def test_the_best_of_many_iterates_is_not_differentiated(
    attack: Callable[..., Attacked], stacked: tuple[Stack, Tensor, Tensor]
) -> None:
    with pytest.raises(SettingError, match="create_graph"):
        attack(*stacked, create_graph=True)
    for wrong in ({"kappa": -1.0}, {"steps": 0}, {"search_steps": 0}, {"step_size": float("nan")}):
        with pytest.raises(SettingError):
            attack(*stacked, **wrong)


def test_ensembles_are_checked() -> None:
    with pytest.raises(SettingError, match="at least one"):
        ensemble()
    with pytest.raises(SettingError, match="functions, such as"):
        ensemble(fgm, "pgd")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="targeted"):
        every_rival(fgm)(
            Stack().match(0), torch.rand(2, 3, 5).double(), torch.zeros(2, dtype=torch.int64), targeted=True
        )


# Differentiable through to parameters.


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_derivatives_pass_chunks_restarts_and_earlier_steps(norm: Norm, stacked: tuple[Stack, Tensor, Tensor]) -> None:
    """Against central differences, along one direction in the parameters of all matches."""
    victim, inputs, labels = stacked
    direction, probe = draws("direction", *victim.second.shape), draws("probe", *inputs.shape)
    second = victim.second

    def value(shift: Tensor) -> Tensor:
        victim.second = second + shift * direction
        run = functools.partial(pgd, victim, inputs, labels, radius=0.4, steps=3, norm=norm, create_graph=True)
        return (run(start="random", restarts=2, chunk_size=4).perturbed * probe).sum()

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(shift), shift)
    ahead, behind = (value(torch.tensor(s, dtype=torch.float64)).item() for s in (1e-6, -1e-6))
    assert slope.item() == pytest.approx((ahead - behind) / 2e-6, rel=1e-4, abs=1e-6)
    assert (norm != "l2") == (slope == 0)  # steps to corners are constant almost everywhere
