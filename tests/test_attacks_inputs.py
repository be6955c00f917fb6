"""What attacks refuse by name, what they leave alone, and the defects of libraries that they do not share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advgames.attacks import Attacked, bim, carlini_wagner, deepfool, ead, fgm, fgsm, pal_vidal_pgd, pgd
from advgames.errors import AdvgamesError, InputError, SettingError, VictimError

Run = Callable[..., Attacked]
RUNS: dict[str, Run] = {
    "fgm": lambda *a, **k: fgm(*a, **{"radius": 0.3, **k}),
    "fgsm": lambda *a, **k: fgsm(*a, **{"radius": 0.1, **k}),
    "bim": lambda *a, **k: bim(*a, **{"radius": 0.1, **k}),
    "pgd": lambda *a, **k: pgd(*a, **{"radius": 0.3, "steps": 5, **k}),
    "pal-vidal-pgd": lambda *a, **k: pal_vidal_pgd(*a, **{"radius": 0.3, **k}),
    "deepfool": deepfool,
    "carlini-wagner": lambda *a, **k: carlini_wagner(*a, **{"steps": 30, "search_steps": 3, **k}),
    "ead": lambda *a, **k: ead(*a, **{"steps": 30, "search_steps": 3, **k}),
}
every_attack = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def net(*extra: nn.Module, seed: int = 0) -> nn.Sequential:
    """A small classifier of (1, 4, 4) images into 3 classes, with other layers before the last."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), *extra, nn.Linear(12, 3)).eval()


def images(count: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def predicted(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return model(inputs).argmax(-1)


# Left alone.


@every_attack
def test_the_victim_s_mode_weights_and_gradients_are_left_alone(run: Run) -> None:
    model, x = net(nn.BatchNorm1d(12), nn.Dropout(0.5)), images()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, kept = torch.get_rng_state(), x.clone()
    found = run(model, x, predicted(model, x))
    assert not model.training and torch.equal(x, kept) and torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad and p.grad is not None and bool((p.grad == 1).all()) for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not found.perturbed.requires_grad and found.success.dtype == torch.bool


@every_attack
def test_answers_lie_in_the_bounds_and_success_is_what_the_victim_says(run: Run) -> None:
    model, x = net(), images(20).round()  # saturated: every pixel at a bound
    y = predicted(model, x)
    found = run(model, x, y, bounds=(0.0, 1.0))
    assert found.perturbed.shape == x.shape and bool(((found.perturbed >= 0) & (found.perturbed <= 1)).all())
    assert torch.equal(found.success, predicted(model, found.perturbed) != y)


@every_attack
def test_the_same_call_gives_the_same_answer_whatever_the_global_generator(run: Run) -> None:
    model, x = net(), images()
    first = run(model, x, predicted(model, x))
    torch.rand(3)
    assert torch.equal(run(model, x, predicted(model, x)).perturbed, first.perturbed)


@every_attack
def test_under_no_grad_and_inference_mode_attacks_work_too(run: Run) -> None:
    model, x = net(), images()
    expected = run(model, x, predicted(model, x))
    with torch.no_grad():
        torch.testing.assert_close(run(model, x, predicted(model, x)).perturbed, expected.perturbed)
    with torch.inference_mode():
        torch.testing.assert_close(run(model, x, predicted(model, x)).perturbed, expected.perturbed)


# Edges that are right.


@pytest.mark.parametrize("run", [RUNS[n] for n in ("fgm", "fgsm", "bim", "pgd", "pal-vidal-pgd")])
def test_radius_zero_returns_the_input_and_says_who_is_misclassified(run: Run) -> None:
    model, x = net(), images()
    y = predicted(model, x)
    y[:3] = (y[:3] + 1) % 3
    found = run(model, x, y, radius=0.0)
    assert torch.equal(found.perturbed, x)
    assert found.success.tolist() == [True] * 3 + [False] * 5


@every_attack
def test_a_batch_of_one_and_a_chunked_batch_are_right(run: Run) -> None:
    model, x = net(), images(9)
    y = predicted(model, x)
    whole = run(model, x, y)
    for chunk in (1, 4):
        found = run(model, x, y, chunk_size=chunk)
        torch.testing.assert_close(found.perturbed, whole.perturbed)
        assert torch.equal(found.success, whole.success)
    torch.testing.assert_close(run(model, x[:1], y[:1]).perturbed, whole.perturbed[:1])


def test_random_starts_come_from_the_seed_and_not_from_the_chunk() -> None:
    model, x = net(), images(9)
    y = predicted(model, x)

    def run(**settings: Any) -> Tensor:
        return pgd(model, x, y, radius=0.5, start="random", steps=2, restarts=2, **settings).perturbed

    assert torch.equal(run(seed=1), run(seed=1))
    torch.testing.assert_close(run(seed=1), run(seed=1, chunk_size=2))
    assert not torch.equal(run(seed=1), run(seed=2))


def test_a_dropout_free_net_in_training_mode_is_attacked_as_in_evaluation_mode() -> None:
    model, x = net(), images()
    expected = pgd(model, x, predicted(model, x), radius=0.3).perturbed
    assert torch.equal(pgd(model.train(), x, predicted(model, x), radius=0.3).perturbed, expected)
    assert model.training


# Refused by name.


@every_attack
@pytest.mark.parametrize("layer", [nn.Dropout(0.1), nn.BatchNorm1d(12)], ids=["dropout", "batch norm"])
def test_training_mode_with_random_or_changing_layers_is_refused(run: Run, layer: nn.Module) -> None:
    model, x = net(layer).train(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(VictimError, match=type(layer).__name__):
        run(model, x, torch.zeros(8, dtype=torch.int64))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@every_attack
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda x, y: ((x * 255).to(torch.uint8), y), InputError),
        (lambda x, y: (x.to(torch.int64), y), InputError),
        (lambda x, y: (x.to(torch.float16), y), InputError),
        (lambda x, y: (x + 0.5, y), InputError),
        (lambda x, y: (x - 2.0, y), InputError),
        (lambda x, y: (x * float("nan"), y), InputError),
        (lambda x, y: (x, y.to(torch.float32)), InputError),
        (lambda x, y: (x, y[:3]), InputError),
        (lambda x, y: (x, y + 3), InputError),
        (lambda x, y: (x, y - 5), InputError),
    ],
    ids=["uint8", "int64", "half", "above", "below", "nan", "float labels", "few labels", "class 3+", "class < 0"],
)
def test_wrong_inputs_and_labels_are_refused(run: Run, change: Any, error: type[AdvgamesError]) -> None:
    model, x = net(), images()
    with pytest.raises(error):
        run(model, *change(x, predicted(model, x)), bounds=(0.0, 1.0))


@every_attack
def test_inputs_of_another_precision_than_the_weights_are_named(run: Run) -> None:
    model, x = net().to(torch.float32), images().to(torch.float64)
    with pytest.raises(InputError, match=r"inputs are torch.float64, the victim's weights torch.float32"):
        run(model, x, torch.zeros(len(x), dtype=torch.int64))


def test_labels_with_a_dimension_too_many_are_named_beside_the_logits() -> None:
    model, x = net(), images()
    with pytest.raises(VictimError, match=r"the labels' shape, \(\d+, 1\), says how"):
        fgm(model, x, predicted(model, x)[:, None], radius=0.1)


@every_attack
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(run: Run, value: float) -> None:
    model, x = net(), images()
    with torch.no_grad():
        model[-1].bias[1] = value
    with pytest.raises(VictimError, match="NaN or infinity"):
        run(model, x, torch.zeros(8, dtype=torch.int64))


@pytest.mark.parametrize("run", [RUNS[n] for n in ("fgm", "fgsm", "bim", "pgd", "pal-vidal-pgd")])
@pytest.mark.parametrize("radius", [-0.1, float("nan"), torch.tensor([0.1, 0.2])])
def test_wrong_radii_are_refused(run: Run, radius: Any) -> None:
    model, x = net(), images()
    with pytest.raises(AdvgamesError):
        run(model, x, predicted(model, x), radius=radius)


def test_wrong_settings_are_refused() -> None:
    model, x = net(), images()
    y = predicted(model, x)
    for settings in ({"steps": 0}, {"restarts": 0}, {"bounds": (1.0, 0.0)}, {"norm": "l3"}, {"loss": "hinge"}):
        with pytest.raises(AdvgamesError):
            pgd(model, x, y, **{"radius": 0.1, **settings})  # type: ignore[arg-type]
    with pytest.raises(SettingError):
        pal_vidal_pgd(model, x, y, radius=0.1, sign="both")  # type: ignore[arg-type]


def test_dlr_needs_three_classes() -> None:
    two = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(AdvgamesError, match=r"(?i)three|3"):
        pgd(two, images(), predicted(two, images()), radius=0.1, loss="dlr")


# Defects of libraries that these attacks do not have.


def flat_victim() -> nn.Module:
    """Nobody can be fooled: class 0 leads by far everywhere."""
    model = net()
    with torch.no_grad():
        model[-1].weight.mul_(1e-3)
        model[-1].bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    return model


@pytest.mark.parametrize("run", [RUNS[n] for n in ("deepfool", "carlini-wagner", "ead")])
def test_failures_give_the_input_back_and_say_so(run: Run) -> None:
    """foolbox's C&W hands back black images there."""
    x = images()
    found = run(flat_victim(), x, torch.zeros(8, dtype=torch.int64))
    assert not found.success.any() and torch.equal(found.perturbed, x)


@pytest.mark.parametrize("run", [RUNS[n] for n in ("deepfool", "carlini-wagner")])
def test_saturated_pixels_move(run: Run) -> None:
    """torchattacks' C&W cannot move a pixel that is 0 or 1. Here every pixel is, and all must move inwards."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    signs = torch.tensor([1.0, -1.0] * 8)
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([torch.zeros(16), signs]))
        model[1].bias.copy_(torch.tensor([0.0, 3.0]))
    x = (signs < 0).float().reshape(1, 1, 4, 4)  # f = sum of signs * x + 3 = -5: class 0, 1.25 away in L2
    y = predicted(model, x)
    assert y.tolist() == [0]
    found = run(model, x, y)
    distance = float((found.perturbed - x).norm())
    assert found.success.all() and 1.25 <= distance <= 1.25 * 1.06
    assert bool(((found.perturbed - x).abs() > 0.2).all())


def test_deepfool_does_not_stall_inside_the_boundary() -> None:
    """torchattacks' DeepFool can stop just before the boundary. Curved victims, clipped walks: all must cross."""
    for seed in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 3)).double()
        x = images(40, seed).round().double()
        y = predicted(model, x)
        found = deepfool(model, x, y)
        assert torch.equal(found.success, predicted(model, found.perturbed) != y)
        reference = pgd(model, x, y, radius=4.0, steps=100, loss="margin", restarts=3)
        assert found.success.double().mean() >= reference.success.double().mean() - 0.05


# Differentiable through to the victim's parameters.


@pytest.mark.parametrize(
    "run",
    [
        lambda *a: fgm(*a, radius=0.3, bounds=None, create_graph=True),
        lambda *a: pgd(*a, radius=0.3, bounds=None, steps=3, create_graph=True),
        lambda *a: pal_vidal_pgd(*a, radius=0.3, steps=3, create_graph=True),
        lambda *a: deepfool(*a, bounds=None, create_graph=True),
    ],
    ids=["fgm", "pgd", "pal-vidal-pgd", "deepfool"],
)
def test_the_derivative_in_a_weight_is_that_of_central_differences(run: Run) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)
    x, weight = images(4).double(), model[1].weight
    y = predicted(model, x)
    probe = torch.randn(x.shape, generator=generator, dtype=torch.float64)

    def value() -> Tensor:
        return (run(model, x, y).perturbed * probe).sum()

    (slope,) = torch.autograd.grad(value(), weight)
    for index in ((0, 0), (2, 5), (5, 15)):
        step = 1e-6
        with torch.no_grad():
            weight[index] += step
            ahead = value().detach()
            weight[index] -= 2 * step
            behind = value().detach()
            weight[index] += step
        assert float(slope[index]) == pytest.approx(float((ahead - behind) / (2 * step)), rel=1e-4, abs=1e-7)
    assert bool(slope.abs().sum() > 0)
