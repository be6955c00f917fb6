"""Our attacks against other libraries': the same inputs from the same start, and no longer minimal perturbations."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from advgames.agents.libraries.sealed import sealed
from advgames.attacks import deepfool, pgd
from advgames.attacks.carlini_wagner import carlini_wagner

STEPS = 10
RADII = {"l2": 0.5, "linf": 0.05}


def need(module: str) -> Any:
    """The library, or a loud skip."""
    return pytest.importorskip(module, reason=f"LIBRARY ABSENT: {module} is not installed", exc_type=ImportError)


def victim() -> nn.Module:
    """A small smooth net for 8x8 images of six classes, in double precision, the same every time."""
    with sealed(0):
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 6)).double()
        net[3].weight.data *= 4
    return net.eval()


def images(count: int = 24) -> tuple[Tensor, Tensor]:
    """Images with some entries at the edge of their range, and what the victim says of them."""
    with sealed(1):
        inputs = (1.2 * torch.rand(count, 1, 8, 8, dtype=torch.float64) - 0.1).clamp(0, 1)
    return inputs, victim()(inputs).argmax(1)


def start_of(name: str, norm: str, inputs: Tensor) -> Tensor:
    """The inputs, or points in the ball around them and in the range."""
    if name == "input":
        return inputs
    with sealed(2):
        delta = torch.randn_like(inputs)
    lengths = delta.flatten(1).norm(p=2 if norm == "l2" else torch.inf, dim=1).reshape(-1, 1, 1, 1)
    return (inputs + 0.7 * RADII[norm] * delta / lengths).clamp(0, 1)


def by_foolbox(norm: str, start: Tensor) -> Tensor:
    """Foolbox's PGD with a step of a fifth of the radius."""
    fb = need("foolbox")
    kind = {"l2": fb.attacks.L2PGD, "linf": fb.attacks.LinfPGD}[norm]

    class FromHere(kind):  # type: ignore[misc, valid-type]
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return x0 + (type(x0)(start) - x0)

    made = FromHere(abs_stepsize=RADII[norm] / 5, steps=STEPS, random_start=True)
    inputs, labels = images()
    with sealed(0):
        found: Tensor = made(fb.PyTorchModel(victim(), (0, 1), device="cpu"), inputs, labels, epsilons=RADII[norm])[0]
    return found


def by_secmlt(norm: str, start: Tensor) -> Tensor:
    """SecML-Torch's own PGD. It returns the iterate of the largest loss, and forgets the last: one step more."""
    need("secmlt")
    from secmlt.adv.evasion.pgd import PGDNative
    from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier

    made = PGDNative(
        perturbation_model=norm, epsilon=RADII[norm], num_steps=STEPS + 1, step_size=RADII[norm] / 5, random_start=False
    )
    inputs, labels = images()
    made.initializer = lambda samples: start - samples
    batch = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=len(inputs))
    found: Tensor = next(iter(made(BasePyTorchClassifier(victim()), batch)))[0]
    return found


@pytest.mark.parametrize("begin", ["input", "random"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("library", [by_foolbox, by_secmlt])
def test_pgd_from_the_same_start_gives_the_same_adversarial_inputs(library: Any, norm: Any, begin: str) -> None:
    inputs, labels = images()
    start = start_of(begin, norm, inputs)
    expected = library(norm, start)
    radius = RADII[norm]
    found = pgd(
        victim(), inputs, labels, radius=radius, norm=norm, steps=STEPS, step_size=radius / 5, start=start
    ).perturbed
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    lengths = (found - inputs).flatten(1).norm(p=2 if norm == "l2" else torch.inf, dim=1)
    assert float(lengths.min()) > 0.8 * radius, "short walks compare little"


def lengths_of(perturbed: Tensor, inputs: Tensor, norm: str) -> Tensor:
    """Norms of perturbations, (N,)."""
    found: Tensor = (perturbed - inputs).flatten(1).norm(p=2 if norm == "l2" else torch.inf, dim=1)
    return found


@functools.cache
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A net trained on digits, half of whose pixels are black, and 96 digits that it has not seen and knows."""
    pixels, classes = load_digits(return_X_y=True)
    inputs, labels = torch.tensor(pixels / 16).reshape(-1, 1, 8, 8), torch.tensor(classes).long()
    with sealed(0):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(200):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[:1500]), labels[:1500]).backward()
            optimizer.step()
    net.eval().requires_grad_(False)
    known = (net(inputs[1500:]).argmax(1) == labels[1500:]).nonzero().squeeze(1)[:96] + 1500
    return net, inputs[known], labels[known]


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-9.0, 9.0)], ids=["at the edge", "far from the edge"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_goes_no_farther_than_foolbox_s(norm: Any, bounds: tuple[float, float]) -> None:
    """On average, by no more than 1 %; and it fails nowhere where foolbox's succeeds."""
    fb = need("foolbox")
    net, inputs, labels = trained()
    made = {"l2": fb.attacks.L2DeepFoolAttack, "linf": fb.attacks.LinfDeepFoolAttack}[norm]()
    with sealed(0):
        theirs, _, succeeded = made(fb.PyTorchModel(net, bounds, device="cpu"), inputs, labels, epsilons=None)
    ours = deepfool(net, inputs, labels, norm=norm, bounds=bounds)
    assert bool(succeeded.all()) and bool(ours.success.all())
    lengths = lengths_of(ours.perturbed, inputs, norm), lengths_of(theirs, inputs, norm)
    assert float(lengths[0].mean()) <= 1.01 * float(lengths[1].mean())


def test_carlini_wagner_goes_no_farther_than_foolbox_s() -> None:
    """On average, by no more than 1 %; and it fails nowhere where foolbox's succeeds."""
    fb = need("foolbox")
    net, inputs, labels = (trained()[0], *(each[:32] for each in trained()[1:]))
    made = fb.attacks.L2CarliniWagnerAttack(steps=200, stepsize=0.05)
    with sealed(0):
        theirs, _, succeeded = made(fb.PyTorchModel(net, (0, 1), device="cpu"), inputs, labels, epsilons=None)
    ours = carlini_wagner(net, inputs, labels)
    assert bool(succeeded.all()) and bool(ours.success.all())
    lengths = lengths_of(ours.perturbed, inputs, "l2"), lengths_of(theirs, inputs, "l2")
    assert float(lengths[0].mean()) <= 1.01 * float(lengths[1].mean())
