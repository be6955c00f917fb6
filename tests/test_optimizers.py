"""Our functional optimisers take the same steps as torch's."""

from __future__ import annotations

import pytest
import torch

from advgames.errors import SettingError, UnknownNameError
from advgames.optimizers import make_optimizer

REFERENCE = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_ten_steps_equal_torch_s_in_every_match(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    gradients = torch.randn(10, 3, 4, dtype=torch.float64, generator=generator)
    gradients[:, 0, 0] = 0  # a gradient that is always zero
    ours, params = make_optimizer(name, 0.1), {"w": start}
    buffers = ours.init(params)
    for gradient in gradients:
        params, buffers = ours.update(params, {"w": gradient}, buffers)
    for match in range(3):
        theirs = start[match].clone().requires_grad_()
        optimizer = REFERENCE[name]([theirs])
        for gradient in gradients:
            theirs.grad = gradient[match].clone()
            optimizer.step()
        torch.testing.assert_close(params["w"][match], theirs.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_step_can_be_differentiated_through_even_at_zero_gradients(name: str) -> None:
    optimizer, params = make_optimizer(name, 0.1), {"w": torch.ones(1, 2, dtype=torch.float64)}
    gradient = torch.tensor([[0.0, 0.5]], dtype=torch.float64, requires_grad=True)
    moved, _ = optimizer.update(params, {"w": gradient}, optimizer.init(params))
    slope = torch.autograd.grad(moved["w"].sum(), gradient)[0]
    assert torch.isfinite(slope).all() and slope[0, 1] <= 0


def test_bad_settings_are_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'adam'"):
        make_optimizer("adan", 0.1)
    with pytest.raises(SettingError, match="learning_rate"):
        make_optimizer("sgd", -1.0)
    with pytest.raises(SettingError, match="momentum"):
        make_optimizer("momentum", 0.1, 1.0)
