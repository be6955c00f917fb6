"""Robust sets are what Lemma 1 says: where no attack of the radius changes the class under the linearisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from advgames import rng
from advgames.errors import InputError, SettingError, VictimError
from advgames.robust_sets import RobustSets, linearise
from advgames.threat import Norm

NORMS: tuple[Norm, ...] = ("l2", "linf")
SEED = rng.seed_tensor([0])


def normal(stream: str, *shape: int) -> Tensor:
    return rng.normal(SEED, stream, 0, shape, torch.float64)[0]


def network(classes: int, seed: int = 0) -> nn.Sequential:
    """A small ReLU net on (2, 3) inputs in float64, its weights drawn from a seed."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, classes)).double().eval()
    for index, parameter in enumerate(net.parameters()):
        parameter.data = rng.normal(rng.seed_tensor([seed]), "net", index, parameter.shape, torch.float64)[0]
    return net


def on_the_sphere(norm: Norm, *shape: int) -> Tensor:
    """Directions of norm 1 over the last dimension; in the box, corners."""
    draws = normal(f"sphere.{norm}", *shape)
    return torch.sign(draws) if norm == "linf" else draws / draws.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_victim_of_two_classes_gives_equation_7(norm: Norm) -> None:
    """c = sgn f grad f, b = |f| - eps ||grad f||, written out by hand."""
    weight, bias, x = normal("w", 4), 0.3, normal("x", 9, 4)
    f = x @ weight + bias
    sets = RobustSets.from_model(lambda inputs: inputs @ weight + bias, x, norm=norm)
    dual = weight.norm() if norm == "l2" else weight.abs().sum()
    torch.testing.assert_close(sets.gradients[:, 0], torch.sign(f)[:, None] * weight)
    torch.testing.assert_close(sets.offsets(0.7)[:, 0], f.abs() - 0.7 * dual)
    two = RobustSets.from_model(
        lambda i: torch.stack([-(i @ weight + bias) / 2, (i @ weight + bias) / 2], 1), x, norm=norm
    )
    torch.testing.assert_close(two.gradients, sets.gradients)
    torch.testing.assert_close(two.margins, sets.margins)


def test_margins_and_gradients_of_many_classes_are_those_of_the_jacobian_in_chunks_of_any_size() -> None:
    net, x = network(5), normal("x", 7, 2, 3)
    margins, gradients = linearise(net, x)
    logits = net(x).detach()
    for i in range(7):
        jacobian = torch.autograd.functional.jacobian(lambda one: net(one[None])[0], x[i]).flatten(1)  # (5, 6)
        y = int(logits[i].argmax())
        others = [k for k in range(5) if k != y]
        torch.testing.assert_close(margins[i], logits[i, y] - logits[i, others])
        torch.testing.assert_close(gradients[i], jacobian[y] - jacobian[others])
    for size in (1, 3, 100):
        chunked = linearise(net, x, chunk_size=size)
        torch.testing.assert_close(chunked[0], margins)
        torch.testing.assert_close(chunked[1], gradients)


def test_given_classes_replace_the_predicted_ones() -> None:
    net, x = network(4), normal("x", 5, 2, 3)
    classes = (net(x).argmax(1) + 1) % 4
    sets = RobustSets.from_model(net, x, classes)
    assert (sets.margins.amin(1) < 0).all()
    assert not sets.contains(torch.zeros(6), 0.0).any()


def test_the_model_is_left_as_it_was() -> None:
    net, x = network(3).train(), normal("x", 4, 2, 3)
    with torch.no_grad():
        linearise(net, x)
        assert not torch.is_grad_enabled()
    assert net.training and all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not x.requires_grad


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_lemma_1_no_attack_flips_inside_and_one_does_outside(norm: Norm, classes: int) -> None:
    """The definition of R(x) by sampled and by best attacks, on random v: inside nobody flips, outside FGM does."""
    radius = 0.3
    sets = RobustSets.from_model(network(classes), normal("x", 30, 2, 3), norm=norm)
    v = radius * on_the_sphere(norm, 20, 6) * rng.uniform(SEED, "lengths", 0, (20, 1), torch.float64)[0]
    contained = sets.contains(v, radius)  # (20, 30)
    assert contained.any() and not contained.all()
    defended = sets.margins + torch.einsum("nkd,md->mnk", sets.gradients, v)
    attacks = radius * on_the_sphere(norm, 500, 6)
    sampled = (defended[:, :, None] + torch.einsum("nkd,ad->nak", sets.gradients, attacks)).amin((2, 3))
    assert (sampled[contained] >= 0).all()
    steepest = torch.sign(sets.gradients) if norm == "linf" else nn.functional.normalize(sets.gradients, dim=2)
    fast = torch.einsum("nkd,nad->nak", sets.gradients, -radius * steepest)  # one attack a per other class
    best = (defended[:, :, None] + fast).amin((2, 3))
    assert torch.equal(best >= 0, contained)


def test_phi_counts_and_the_attacker_s_radius_is_an_argument() -> None:
    sets = RobustSets(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[-1.0, 0.0]]]))
    assert len(sets) == 3 and sets.dimension == 2
    assert sets.dual_norms.tolist() == [[1.0], [2.0], [1.0]]
    assert [float(sets.phi(torch.zeros(2), r)) for r in (0.5, 1.0, 2.0, 4.0)] == [1.0, 1.0, 1 / 3, 0.0]
    points = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.5, -3.0]])
    assert sets.contains(points, 2.0).tolist() == [[True, True, True], [False, False, True], [True, False, False]]
    assert sets.slacks(points, 2.0).tolist() == [[0.0, 0.0, 0.0], [-1.0, -2.0, 1.0], [0.5, -8.0, -0.5]]
    assert sets.phi(points, 2.0).tolist() == [1.0, 1 / 3, 1 / 3]
    assert torch.equal(sets.phi(points[2], 2.0), sets.phi(points, 2.0)[2])
    chosen = sets.select(torch.tensor([2, 0]))
    assert len(chosen) == 2 and chosen.margins.tolist() == [[3.0], [1.0]]


def test_a_set_holds_its_border_up_to_rounding_and_no_farther() -> None:
    third = RobustSets(torch.tensor([[1 / 3]], dtype=torch.float64), torch.tensor([[[1.0]]], dtype=torch.float64))
    v = torch.tensor([[-1 / 3], [-1 / 3 - 1e-15], [-1 / 3 - 1e-8]], dtype=torch.float64)
    assert third.contains(v, 0.0)[:, 0].tolist() == [True, True, False]


def test_what_cannot_be_linearised_is_refused_by_name() -> None:
    net, x = network(3), normal("x", 4, 2, 3)
    with pytest.raises(InputError, match="floating point"):
        linearise(net, x.long())
    with pytest.raises(InputError, match="n >= 1"):
        linearise(net, x[:0])
    with pytest.raises(InputError, match="NaN"):
        linearise(net, x / 0)
    with pytest.raises(InputError, match="4 integers"):
        linearise(net, x, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="0 to 2"):
        linearise(net, x, torch.full((4,), 3))
    with pytest.raises(SettingError, match="chunk_size"):
        linearise(net, x, chunk_size=0)
    with pytest.raises(VictimError, match="NaN"):
        linearise(lambda i: net(i) * math.nan, x)
    with pytest.raises(VictimError, match="expected logits"):
        linearise(lambda i: net(i)[..., None], x)
    with pytest.raises(VictimError, match="eval"):
        linearise(nn.Sequential(nn.Dropout(), net), x)
    with pytest.raises(VictimError, match="differentiably"):
        linearise(lambda i: net(i).detach(), x)


def test_sets_that_are_none_are_refused_by_name() -> None:
    margins, gradients = torch.ones(2, 1), torch.ones(2, 1, 3)
    with pytest.raises(SettingError, match="l2, linf"):
        RobustSets(margins, gradients, "l1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="none empty"):
        RobustSets(margins[:, :0], gradients[:, :0])
    with pytest.raises(InputError, match="none empty"):
        RobustSets(margins[:1], gradients)
    with pytest.raises(InputError, match="gradients: contain NaN"):
        RobustSets(margins, gradients / 0)
    sets = RobustSets(margins, gradients)
    with pytest.raises(InputError, match=r"\(3,\) or \(m, 3\)"):
        sets.phi(torch.zeros(2), 1.0)
    with pytest.raises(SettingError, match="attack_radius"):
        sets.offsets(-1.0)
    with pytest.raises(SettingError, match="attack_radius"):
        sets.contains(torch.zeros(3), math.nan)
