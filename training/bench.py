"""Speed as ratios within one run: what the suite adds to the bare work it does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from advgames import derivatives, rng
from advgames.agents import LevelK, Null
from advgames.errors import UnknownNameError
from advgames.games import PoisoningGame, PoisoningState
from advgames.optimizers import Params
from advgames.tasks import Split, Task
from advgames.training.bench_attacks import attacks
from advgames.training.bench_learning import learning
from advgames.training.bench_negotiation import negotiation
from advgames.training.timing import Row, medians
from advgames.victims import Batching, Victim, cross_entropy, digits_cnn, mlp, mnist_cnn

__all__ = ["BENCHMARKS", "Row", "run"]


def run(name: str = "poisoning", device: str = "cpu") -> Iterator[Row]:
    """Rows of a benchmark as they are measured, on one thread.

    Raises:
        UnknownNameError: no such benchmark.
    """
    if name not in BENCHMARKS:
        raise UnknownNameError("benchmark", name, BENCHMARKS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from BENCHMARKS[name](torch.device(device))
    finally:
        torch.set_num_threads(threads)


def _poisoning(device: torch.device) -> Iterator[Row]:
    yield from _step_against_bare(device)
    yield from _level_1_against_step(device)
    yield from _mixed_derivative_forms(device)
    yield from _batch_against_one_by_one(device)
    yield from _auto_against_both(device)


def _step_against_bare(device: torch.device) -> Iterator[Row]:
    """A round with null players against the same training step and validation pass written bare."""
    game = _mnist_like(device)
    state = game.reset([0])
    agent = Null()
    module = mnist_cnn().to(device)
    module.load_state_dict({n: p[0] for n, p in state.params.items()})
    optimizer = torch.optim.Adam(module.parameters(), lr=8e-4)
    points = game.task.validation
    held = {"state": state}
    generator = torch.Generator().manual_seed(0)

    def ours() -> None:
        current = held["state"]
        for player in game.players:
            action = agent.act(game.observe(current, player), game.access(current, player))
            current, _, _ = game.step(current, {player: action})
        held["state"] = replace(current, round=1) if game.over(current) else current

    def bare(chunk: int) -> None:
        ids = torch.randperm(len(game.task.train), generator=generator)[:500].to(device)
        inputs, labels = game.task.train.inputs[ids], game.task.train.labels[ids]
        optimizer.zero_grad()
        for c in derivatives.chunks(chunk, 500):
            loss = nn.functional.cross_entropy(module(inputs[c]), labels[c], reduction="sum") / 500
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for c in derivatives.chunks(chunk, len(points)):
                nn.functional.cross_entropy(module(points.inputs[c]), points.labels[c], reduction="sum")

    works = [functools.partial(bare, chunk) for chunk in (64, 128, 256, 500)]
    ours_s, *bare_s = medians(device, ours, *works)
    best = min(bare_s)  # the bare loop in its fastest chunks
    name = "round with null players / bare training step and validation pass"
    yield Row(name, ours_s / best, 1.10, "at most", ours_s)


def _level_1_against_step(device: torch.device) -> Iterator[Row]:
    """One level-1 direction, the validation gradient given, against one plain training step on the same minibatch."""
    game = _mnist_like(device)
    state = game.reset([0])
    access, observation = game.access(state, "attacker"), game.observe(state, "attacker")
    _ = access.validation.gradient
    agent = LevelK(1)

    def direction() -> None:
        agent.act(observation, access)

    def step() -> None:
        game.optimizer.update(state.params, access.batch_gradient(state.inputs), state.buffers)

    ours_s, step_s = medians(device, direction, step)
    yield Row("level-1 direction / plain training step", ours_s / step_s, 2.3, "at most", ours_s)


def _mixed_derivative_forms(device: torch.device) -> Iterator[Row]:
    """The form in use, reverse over forward, against the two other exact forms on the same chunks."""
    game = _mnist_like(device)
    state = game.reset([0])
    access = game.access(state, "attacker")
    direction = access.direction(state.inputs, "first")
    params, vector = ({n: p[0] for n, p in values.items()} for values in (state.params, direction))
    pieces = [(state.inputs[0, c], state.labels[0, c]) for c in derivatives.chunks(128, 500)]

    def loss(p: Params, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(torch.func.functional_call(game.victim.module, p, (x,)), y).sum()

    def in_use() -> None:
        access.mixed_derivative(state.inputs, direction)

    def double_backward() -> None:
        for x, y in pieces:
            leaves, point = {n: p.detach().requires_grad_() for n, p in params.items()}, x.detach().requires_grad_()
            slopes = torch.autograd.grad(loss(leaves, point, y), tuple(leaves.values()), create_graph=True)
            torch.autograd.grad(slopes, point, tuple(vector.values()))

    def forward_over_reverse() -> None:
        for x, y in pieces:
            torch.func.jvp(lambda p, x=x, y=y: torch.func.grad(loss, argnums=1)(p, x, y), (params,), (vector,))

    ours, twice, forward = medians(device, in_use, double_backward, forward_over_reverse)
    yield Row("double backward / reverse over forward (in use)", twice / ours, 1.0, "at least", ours)
    yield Row("forward over reverse / reverse over forward (in use)", forward / ours, 1.0, "at least", ours)


def _batch_against_one_by_one(device: torch.device) -> Iterator[Row]:
    """32 matches of an MLP victim as one batch against one after the other, level 1 against level 1."""
    game = _small(device, "auto", lambda: mlp(64), batch_size=20)
    together, apart = _match_times(game, 32, device)
    yield Row("32 MLP matches one by one / as one batch", apart / together, 2.5, "at least", together)


def _auto_against_both(device: torch.device) -> Iterator[Row]:
    """What ``batching="auto"`` chooses against the better of fused and looped, MLP and CNN victims."""
    cases: tuple[tuple[str, Callable[[], nn.Module], tuple[int, ...], int], ...] = (
        ("MLP", lambda: mlp(64), (1, 8, 8), 20),
        ("digits CNN, minibatch 10", digits_cnn, (1, 8, 8), 10),
        ("digits CNN, minibatch 100", digits_cnn, (1, 8, 8), 100),
        ("MNIST CNN, minibatch 20", mnist_cnn, (1, 28, 28), 20),
    )
    for name, module, shape, batch_size in cases:
        modes: tuple[Batching, ...] = ("auto", "vmap", "loop")
        rounds = [_one_round(_small(device, mode, module, batch_size, shape), 8) for mode in modes]
        auto, fused, looped = medians(device, *rounds)
        yield Row(
            f"auto / better of fused and looped, 8 {name} matches", auto / min(fused, looped), 1.10, "at most", auto
        )


BENCHMARKS: dict[str, Callable[[torch.device], Iterator[Row]]] = {
    "poisoning": _poisoning,
    "attacks": attacks,
    "negotiation": negotiation,
    "learning": learning,
}


def _match_times(game: PoisoningGame, matches: int, device: torch.device) -> tuple[float, float]:
    """Median seconds of a round of all matches, as one batch and one after the other."""
    one = [_one_round(game, 1, seed) for seed in range(matches)]

    def apart() -> None:
        for play in one:
            play()

    together_s, apart_s = medians(device, _one_round(game, matches), apart)
    return together_s, apart_s


def _one_round(game: PoisoningGame, matches: int, first_seed: int = 0) -> Callable[[], None]:
    """A round of level 1 against level 1, repeated from the same state."""
    state = game.reset(range(first_seed, first_seed + matches))
    agent = LevelK(1)

    def play() -> None:
        current: PoisoningState = replace(state, validation=None)
        for player in game.players:
            action = agent.act(game.observe(current, player), game.access(current, player))
            current, _, _ = game.step(current, {player: action})

    return play


def _mnist_like(device: torch.device) -> PoisoningGame:
    """The paper's MNIST CNN and minibatch on random images, 1,000 of them for validation."""
    task = _random_task("mnist-like", (1, 28, 28), mnist_cnn, train=2000, validation=1000)
    return PoisoningGame(task, device=device, batch_size=500, iterations=10_000, optimizer="adam", learning_rate=8e-4)


def _small(
    device: torch.device,
    batching: Batching,
    module: Callable[[], nn.Module],
    batch_size: int,
    shape: tuple[int, ...] = (1, 8, 8),
) -> PoisoningGame:
    task = _random_task("small", shape, module, train=200, validation=100)
    return PoisoningGame(
        task,
        device=device,
        batch_size=batch_size,
        iterations=100,
        optimizer="adam",
        learning_rate=1e-3,
        batching=batching,
    )


def _random_task(
    name: str, shape: tuple[int, ...], module: Callable[[], nn.Module], train: int, validation: int
) -> Task:
    def split(stream: str, count: int) -> Split:
        key = rng.seed_tensor([0])
        inputs: Tensor = rng.uniform(key, stream, 0, (count, *shape))[0]
        return Split(inputs, rng.bits(key, stream, 1, (count,))[0] % 10)

    return Task(
        name,
        train=split("train", train),
        validation=split("validation", validation),
        test=split("test", 10),
        make_victim=lambda: Victim(module()),
        num_classes=10,
        defaults={"epsilon": 1.0},
    )
