"""The derivatives are exact: central differences in float64, torch.autograd.functional, and explicit matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from advgames import derivatives, rng
from advgames.victims import Victim, digits_cnn, linear_classifier, mlp

SEEDS = rng.seed_tensor([1, 2])


def victim(module: nn.Module, dtype: torch.dtype = torch.float64, batching: str = "auto") -> Victim:
    return Victim(module.to(dtype), batching=batching)  # type: ignore[arg-type]


def samples(
    count: int, shape: tuple[int, ...], classes: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    inputs = rng.uniform(SEEDS, "x", 0, (count, *shape), dtype)
    labels = rng.bits(SEEDS, "y", 0, (count,)) % classes
    return inputs, labels


def direction_like(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: rng.normal(SEEDS, f"v.{n}", 0, p.shape[1:], p.dtype) for n, p in params.items()}


def double_backward(model: Victim, params: dict[str, Tensor], x: Tensor, y: Tensor, v: dict[str, Tensor]) -> Tensor:
    """grad_x <grad_theta L, v> by torch.autograd alone, one match after the other."""
    answers = []
    for g in range(len(x)):
        leaves = {n: p[g].clone().requires_grad_() for n, p in params.items()}
        point = x[g].clone().requires_grad_()
        loss = nn.functional.cross_entropy(
            torch.func.functional_call(model.module, leaves, (point,)), y[g], reduction="sum"
        )
        gradient = torch.autograd.grad(loss, tuple(leaves.values()), create_graph=True)
        inner = sum((a * v[n][g]).sum() for n, a in zip(leaves, gradient, strict=True))
        answers.append(torch.autograd.grad(inner, point)[0])
    return torch.stack(answers)


@pytest.mark.parametrize("chunk_size", [2, 100])
@pytest.mark.parametrize("batching", ["vmap", "loop"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mixed_derivative_equals_double_backward_on_a_relu_cnn(
    dtype: torch.dtype, batching: str, chunk_size: int
) -> None:
    model = victim(digits_cnn(), dtype, batching)
    params, (x, y) = model.init(SEEDS), samples(5, (1, 8, 8), 10, dtype)
    v = direction_like(params)
    expected = double_backward(model, params, x, y, v)
    ours = derivatives.mixed_derivative(model, params, x, y, v, chunk_size)
    assert (ours - expected).norm() <= (1e-5 if dtype == torch.float32 else 1e-12) * expected.norm()


def flat(values: dict[str, Tensor], match: int) -> Tensor:
    return torch.cat([v[match].flatten() for v in values.values()])


def explicit_hessian(model: Victim, params: dict[str, Tensor], x: Tensor, y: Tensor, match: int) -> Tensor:
    shapes = {n: p.shape[1:] for n, p in params.items()}

    def loss(vector: Tensor) -> Tensor:
        pieces = vector.split([s.numel() for s in shapes.values()])
        values = {n: p.view(s) for p, (n, s) in zip(pieces, shapes.items(), strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model.module, values, (x[match],)), y[match])

    return torch.autograd.functional.hessian(loss, flat(params, match))


@pytest.mark.parametrize("batching", ["vmap", "loop"])
def test_hessian_vector_products_equal_the_explicit_hessian(batching: str) -> None:
    model = victim(mlp(4, 3, 3, nn.Tanh), batching=batching)
    params, (x, y) = model.init(SEEDS), samples(6, (4,), 3)
    v = direction_like(params)
    product = derivatives.hessian_vector_product(model, params, x, y, v, 4)
    for match in range(2):
        torch.testing.assert_close(flat(product, match), explicit_hessian(model, params, x, y, match) @ flat(v, match))


@pytest.mark.parametrize("batching", ["vmap", "loop"])
def test_gauss_newton_is_the_hessian_of_a_linear_model_and_positive_semidefinite_for_others(batching: str) -> None:
    linear = victim(linear_classifier(4, 3), batching=batching)
    params, (x, y) = linear.init(SEEDS), samples(6, (4,), 3)
    v = direction_like(params)
    ours = derivatives.gauss_newton_vector_product(linear, params, x, y, v, 4)
    torch.testing.assert_close(ours, derivatives.hessian_vector_product(linear, params, x, y, v, 4))
    bent = victim(mlp(4, 3, 3, nn.Tanh), batching=batching)
    params = bent.init(SEEDS)
    v = direction_like(params)
    ours = derivatives.gauss_newton_vector_product(bent, params, x, y, v, 4)
    assert (derivatives.dot(v, ours) > 0).all()
    assert (flat(ours, 0) - flat(derivatives.hessian_vector_product(bent, params, x, y, v, 4), 0)).norm() > 1e-3


def test_loss_and_gradient_are_means_and_do_not_depend_on_chunks() -> None:
    model = victim(digits_cnn())
    params, (x, y) = model.init(SEEDS), samples(7, (1, 8, 8), 10)
    loss, gradient = derivatives.loss_and_gradient(model, params, x, y, 3)
    torch.testing.assert_close(loss, derivatives.loss(model, params, x, y, 100))
    for match in range(2):
        leaves = {n: p[match].clone().requires_grad_() for n, p in params.items()}
        reference = nn.functional.cross_entropy(torch.func.functional_call(model.module, leaves, (x[match],)), y[match])
        torch.testing.assert_close(loss[match], reference.detach())
        for name, theirs in zip(leaves, torch.autograd.grad(reference, tuple(leaves.values())), strict=True):
            torch.testing.assert_close(gradient[name][match], theirs)


def dense(matrices: Tensor) -> derivatives.Product:
    return lambda v: {"w": torch.einsum("gij,gj->gi", matrices, v["w"])}


def test_conjugate_gradients_solve_positive_definite_systems_and_each_match_stops_by_itself() -> None:
    root = rng.normal(SEEDS, "a", 0, (8, 8), torch.float64)
    matrices = root @ root.mT + 0.5 * torch.eye(8, dtype=torch.float64)
    matrices[1] = torch.eye(8, dtype=torch.float64) * 2  # solved in one step
    right = {"w": rng.normal(SEEDS, "b", 0, (8,), torch.float64)}
    solve = derivatives.conjugate_gradient(dense(matrices), right, 1e-10, 100)
    torch.testing.assert_close(solve.solution["w"], torch.linalg.solve(matrices, right["w"]), rtol=1e-7, atol=1e-9)
    assert solve.iterations[1] == 1 < solve.iterations[0] and not solve.negative_curvature.any()
    assert (solve.residual <= 1e-10).all()


def test_negative_curvature_is_noticed_and_the_other_match_goes_on() -> None:
    matrices = torch.stack([torch.diag(torch.tensor([1.0, -1.0])), torch.diag(torch.tensor([1.0, 2.0]))])
    right = {"w": torch.tensor([[0.0, 1.0], [1.0, 1.0]])}
    solve = derivatives.conjugate_gradient(dense(matrices), right, 1e-6, 10)
    assert solve.negative_curvature.tolist() == [True, False]
    torch.testing.assert_close(solve.solution["w"], torch.tensor([[0.0, 1.0], [1.0, 0.5]]))


def test_a_zero_right_side_has_the_zero_solution() -> None:
    solve = derivatives.conjugate_gradient(dense(torch.eye(2).expand(1, 2, 2)), {"w": torch.zeros(1, 2)}, 1e-6, 10)
    assert torch.equal(solve.solution["w"], torch.zeros(1, 2)) and solve.iterations[0] == 0
