"""Speed of the attacks as ratios to the same attacks written bare, as one would in a notebook."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from advgames import rng
from advgames.attacks import carlini_wagner, deepfool, fgm, pgd
from advgames.training.timing import Row, medians
from advgames.victims import mlp, mnist_cnn

__all__ = ["attacks"]

CHUNKS = (32, 64, 128, 256)
#: (inputs, labels) of one chunk -> the perturbed inputs and whether they are misclassified
Bare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

cross_entropy = nn.functional.cross_entropy


def attacks(device: torch.device) -> Iterator[Row]:
    """Rows of the benchmark: CPU seconds of ours over those of a bare loop in its own fastest chunks."""
    net, x, y = _victim(mnist_cnn, (1, 28, 28), 256, device)
    linf = functools.partial(pgd, net, x, y, radius=0.1, norm="linf", step_size=0.01)
    l2 = functools.partial(pgd, net, x, y, radius=2.0, norm="l2", step_size=0.25)
    yield _row("PGD-40 L-infinity", 1.05, device, functools.partial(linf, steps=40), _PgdLinf(net, 0.1, 0.01, 40), x, y)
    yield _row("PGD-20 L2", 1.05, device, functools.partial(l2, steps=20), _PgdL2(net, 2.0, 0.25, 20), x, y)
    ours = functools.partial(carlini_wagner, net, x, y, steps=15, search_steps=3, step_size=0.05)
    yield _row("C&W L2, 3 x 15 steps", 1.05, device, ours, _CarliniWagner(net, 0.05, 15, 3), x, y)
    yield _row("DeepFool L2", 1.10, device, functools.partial(deepfool, net, x, y), _DeepFool(net, 0.02, 50), x, y)
    graph, plain = functools.partial(l2, steps=5, create_graph=True), functools.partial(l2, steps=5)
    with_s, without_s = medians(device, graph, plain, repetitions=9, clock=time.process_time)
    yield Row("PGD-5 L2, create_graph / without", with_s / without_s, 1.30, "at most", with_s)

    net, x, y = _victim(lambda: mlp(64), (64,), 64, device)
    calls = functools.partial(fgm, net, x, y, radius=0.1, norm="linf")
    yield _small_row("FGSM on an MLP, 64 inputs", device, calls, functools.partial(_PgdLinf(net, 0.1, 0.1, 1), x, y))
    calls = functools.partial(pgd, net, x, y, radius=0.1, norm="linf", steps=7, step_size=0.03)
    yield _small_row("PGD-7 on an MLP, 64 inputs", device, calls, functools.partial(_PgdLinf(net, 0.1, 0.03, 7), x, y))


def _row(
    name: str, bound: float, device: torch.device, ours: Callable[[], object], bare: Bare, x: Tensor, y: Tensor
) -> Row:
    """Ours against the bare loop, this in the chunks that a first round finds fastest."""
    in_chunks = [functools.partial(_in_chunks, bare, x, y, chunk) for chunk in CHUNKS]
    tried = medians(device, *in_chunks, repetitions=3, warm_up=1, clock=time.process_time)
    best = in_chunks[tried.index(min(tried))]
    ours_s, bare_s = medians(device, ours, best, repetitions=5, warm_up=1, clock=time.process_time)
    return Row(f"{name} / bare loop", ours_s / bare_s, bound, "at most", ours_s)


def _small_row(name: str, device: torch.device, ours: Callable[[], object], bare: Callable[[], object]) -> Row:
    ours_s, bare_s = medians(device, ours, bare, repetitions=1001, clock=time.process_time)
    return Row(f"{name} / bare loop", ours_s / bare_s, 1.15, "at most", ours_s)


def _in_chunks(bare: Bare, x: Tensor, y: Tensor, chunk: int) -> tuple[Tensor, ...]:
    found = [bare(*part) for part in zip(x.split(chunk), y.split(chunk), strict=True)]  # type: ignore[no-untyped-call]
    return tuple(map(torch.cat, zip(*found, strict=True)))


class _Pgd:
    """Projected gradient; one step of the size of the radius is FGSM."""

    def __init__(self, net: nn.Module, radius: float, size: float, steps: int) -> None:
        self.net, self.radius, self.size, self.steps = net, radius, size, steps

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        adversarial = x
        for _ in range(self.steps):
            adversarial = adversarial.detach().requires_grad_()
            loss = cross_entropy(self.net(adversarial), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, adversarial)
            with torch.no_grad():
                adversarial = self.moved(adversarial, gradient, x)
        with torch.no_grad():
            return adversarial, self.net(adversarial).argmax(1) != y

    def moved(self, adversarial: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
        raise NotImplementedError


class _PgdLinf(_Pgd):
    def moved(self, adversarial: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
        adversarial = adversarial + self.size * gradient.sign()
        return (x + (adversarial - x).clamp(-self.radius, self.radius)).clamp(0, 1)


class _PgdL2(_Pgd):
    def moved(self, adversarial: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        delta = adversarial + self.size * gradient / length.view(-1, 1, 1, 1) - x
        length = delta.flatten(1).norm(dim=1).clamp(min=self.radius)
        shortened: Tensor = delta * (self.radius / length).view(-1, 1, 1, 1)
        return (x + shortened).clamp(0, 1)


class _CarliniWagner:
    """Adam on the clipped image, its step size falling to a hundredth; c starts from the linearisation at the input."""

    def __init__(self, net: nn.Module, size: float, steps: int, search_steps: int) -> None:
        self.net, self.size, self.steps, self.search_steps = net, size, steps, search_steps

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        own = nn.functional.one_hot(y, 10).bool()

        def margin(logits: Tensor) -> Tensor:
            return logits.masked_fill(own, -torch.inf).amax(1) - logits[own]

        image = x.clone().requires_grad_()
        first = margin(self.net(image))
        (slope,) = torch.autograd.grad(first.sum(), image)
        c = 2 * (-first.detach()).clamp(min=0) / slope.square().sum((1, 2, 3)).clamp(min=1e-12)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        best, best_cost = x.clone(), torch.full_like(c, torch.inf)
        for _ in range(self.search_steps):
            adam = torch.optim.Adam([image])
            held = torch.zeros_like(y, dtype=torch.bool)
            for step in range(self.steps):
                gain = margin(self.net(image))
                cost = (image - x).square().sum((1, 2, 3))
                (image.grad,) = torch.autograd.grad((cost + c * (-gain).clamp(min=0)).sum(), image)
                with torch.no_grad():
                    better = (gain > 0) & (cost < best_cost)
                    best, best_cost = (
                        torch.where(better.view(-1, 1, 1, 1), image, best),
                        torch.where(better, cost, best_cost),
                    )
                    if 2 * step >= self.steps:
                        held |= gain > 0
                    adam.param_groups[0]["lr"] = self.size * 0.01 ** (step / self.steps)
                    adam.step()
                    image.clamp_(0, 1)
            high, low = torch.where(held, torch.minimum(high, c), high), torch.where(held, low, torch.maximum(low, c))
            c = torch.where(high.isfinite(), (low + high) / 2, 10 * c)
        with torch.no_grad():
            return best, self.net(best).argmax(1) != y


class _DeepFool:
    """Newton steps; inputs that have crossed leave the batch; in the second half only entries that can move count."""

    def __init__(self, net: nn.Module, overshoot: float, steps: int) -> None:
        self.net, self.overshoot, self.steps = net, overshoot, steps

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        found, infinite = x.clone(), torch.tensor(torch.inf)
        with torch.no_grad():
            left = (self.net(x).argmax(1) == y).nonzero().flatten()
        for step in range(self.steps):
            if len(left) == 0:
                break
            here, label = found[left].requires_grad_(), y[left]
            low, high = torch.where(here <= 0, 0.0, -infinite), torch.where(here >= 1, 0.0, infinite)
            rows = torch.arange(len(left))
            logits = self.net(here)
            nearest, direction = torch.full((len(left),), torch.inf), torch.zeros_like(here)
            for offset in range(1, 10):
                gap = logits[rows, label] - logits[rows, (label + offset) % 10]
                (w,) = torch.autograd.grad(-gap.sum(), here, retain_graph=True)
                with torch.no_grad():
                    w = w.clamp(low, high) if 2 * step >= self.steps else w
                    length = w.flatten(1).norm(dim=1).clamp(min=1e-12)
                    nearer = gap / length < nearest
                    nearest = torch.where(nearer, gap / length, nearest)
                    direction = torch.where(nearer.view(-1, 1, 1, 1), w / length.view(-1, 1, 1, 1), direction)
            with torch.no_grad():
                least = 3.5e-4 * (here - x[left]).flatten(1).norm(dim=1)  # of the way gone: rounding must not stall it
                size = torch.maximum((1 + self.overshoot) * nearest, least)
                moved = (here + size.view(-1, 1, 1, 1) * direction).clamp(0, 1)
                found[left] = moved
                left = left[self.net(moved).argmax(1) == label]
        with torch.no_grad():
            success = self.net(found).argmax(1) != y
            return torch.where(success.view(-1, 1, 1, 1), found, x), success


def _victim(
    make: Callable[[], nn.Module], shape: tuple[int, ...], count: int, device: torch.device
) -> tuple[nn.Module, Tensor, Tensor]:
    """A net trained briefly to tell ten random patterns in noise apart, some inputs, and what it says of them."""
    key = rng.seed_tensor([0])
    patterns = rng.uniform(key, "patterns", 0, (10, *shape))[0]
    noise = rng.uniform(key, "noise", 0, (2000, *shape))[0]
    labels = rng.bits(key, "labels", 0, (2000,))[0] % 10
    inputs = (0.3 * patterns[labels] + 0.7 * noise).to(device)
    with torch.random.fork_rng(devices=[]):  # modules initialise themselves from the global generator
        torch.manual_seed(0)
        net = make().to(device)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for x, y in zip(inputs.split(50), labels.to(device).split(50), strict=True):  # type: ignore[no-untyped-call]
        adam.zero_grad()
        cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
        adam.step()
    x = inputs[:count]
    with torch.no_grad():
        return net.eval(), x, net(x).argmax(1)
