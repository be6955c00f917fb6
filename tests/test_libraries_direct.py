"""Each adapter gives what its library gives when called directly, and its library's known defects reach nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advgames.agents import libraries
from advgames.agents.libraries import LIBRARIES, attack
from advgames.agents.libraries.sealed import sealed
from advgames.errors import MissingExtraError, SettingError, UnknownNameError

SEED = 11


def need(module: str) -> Any:
    """The library, or a loud skip."""
    return pytest.importorskip(module, reason=f"LIBRARY ABSENT: {module} is not installed", exc_type=ImportError)


def victim() -> nn.Module:
    """A small net for 8x8 images of six classes, the same every time."""
    with sealed(0):
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 6))
        net[3].weight.data *= 4
    return net.eval()


def images(count: int = 6) -> tuple[Tensor, Tensor]:
    """Images, not at the edge of their range, and what the victim says of them."""
    with sealed(1):
        inputs = 0.1 + 0.8 * torch.rand(count, 1, 8, 8)
    return inputs, victim()(inputs).argmax(1)


def by_foolbox(name: str, norm: str, radius: float, options: dict[str, Any]) -> Tensor:
    fb = need("foolbox")
    made = getattr(fb.attacks, name)(**options)
    minimises = isinstance(made, fb.attacks.base.MinimizationAttack)
    model = fb.PyTorchModel(victim(), bounds=(0, 1), device="cpu")
    found: Tensor = made(model, *images(), epsilons=None if minimises else radius)[1]
    return found


def by_torchattacks(name: str, norm: str, radius: float, options: dict[str, Any]) -> Tensor:
    found: Tensor = getattr(need("torchattacks"), name)(victim(), **options)(*images())
    return found


def by_art(name: str, norm: str, radius: float, options: dict[str, Any]) -> Tensor:
    need("art.attacks.evasion")
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    inputs, labels = images()
    estimator = PyTorchClassifier(
        victim(), nn.CrossEntropyLoss(), (1, 8, 8), 6, clip_values=(0.0, 1.0), device_type="cpu"
    )
    made = getattr(evasion, name)(estimator, **options)
    return torch.as_tensor(made.generate(inputs.numpy(), y=np.eye(6)[labels]))


def by_secmlt(name: str, norm: str, radius: float, options: dict[str, Any]) -> Tensor:
    need("secmlt")
    from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier

    made = LIBRARIES["secmlt"]._creators()[name](**options)  # type: ignore[attr-defined]
    batch = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*images()), batch_size=6)
    found: Tensor = next(iter(made(BasePyTorchClassifier(victim()), batch)))[0]
    return found


def by_autoattack(name: str, norm: str, radius: float, options: dict[str, Any]) -> Tensor:
    pyautoattack = need("pyautoattack")
    made = pyautoattack.AutoAttack(
        victim(), eps=radius, norm={"l2": "L2", "linf": "Linf"}[norm], seed=SEED, version="custom", **options
    )
    made.apgd.n_iter = made.fab.n_iter = 2
    made.square.n_queries = 20
    made.fab.n_target_classes = 5
    found: Tensor = made.run_standard_evaluation(*images())[0]
    return found


Direct = Callable[[str, str, float, dict[str, Any]], Tensor]
LONG = 8.0  # a radius that no answer of an attack that minimises its distance reaches
#: the agent's name and options, norm and radius; what the library is told directly
CASES: list[tuple[str, dict[str, Any], str, float, Direct, dict[str, Any]]] = [
    ("foolbox:LinfPGD", {"steps": 5}, "linf", 0.03, by_foolbox, {"steps": 5}),
    ("foolbox:L2PGD", {"steps": 5}, "l2", 0.3, by_foolbox, {"steps": 5}),
    ("foolbox:FGSM", {}, "linf", 0.03, by_foolbox, {}),
    ("foolbox:L2AdditiveGaussianNoiseAttack", {}, "l2", 2.0, by_foolbox, {}),
    ("foolbox:L2DeepFoolAttack", {}, "l2", LONG, by_foolbox, {}),
    ("foolbox:L2FMNAttack", {"steps": 30}, "l2", LONG, by_foolbox, {"steps": 30}),
    ("foolbox:DDNAttack", {"steps": 30}, "l2", LONG, by_foolbox, {"steps": 30}),
    ("foolbox:L2CarliniWagnerAttack", {"steps": 100}, "l2", LONG, by_foolbox, {"steps": 100}),
    ("foolbox:BoundaryAttack", {"steps": 30}, "l2", LONG, by_foolbox, {"steps": 30}),
    ("foolbox:HopSkipJumpAttack", {"steps": 2}, "linf", 1.0, by_foolbox, {"steps": 2, "constraint": "linf"}),
    ("torchattacks:PGD", {"steps": 5}, "linf", 0.03, by_torchattacks, {"eps": 0.03, "alpha": 0.0075, "steps": 5}),
    (
        "torchattacks:PGDL2",
        {"alpha": 0.1},
        "l2",
        0.4,
        by_torchattacks,
        {"eps": 0.4, "alpha": 0.1},
    ),
    ("torchattacks:CW", {"steps": 20, "c": 5}, "l2", LONG, by_torchattacks, {"steps": 20, "c": 5}),
    ("torchattacks:DeepFool", {}, "l2", LONG, by_torchattacks, {}),
    (
        "torchattacks:Square",
        {"n_queries": 50},
        "linf",
        0.05,
        by_torchattacks,
        {"n_queries": 50, "eps": 0.05, "seed": SEED},
    ),
    ("art:FastGradientMethod", {}, "linf", 0.03, by_art, {"eps": 0.03}),
    (
        "art:ProjectedGradientDescent",
        {"max_iter": 5, "num_random_init": 1},
        "l2",
        0.3,
        by_art,
        {"max_iter": 5, "num_random_init": 1, "norm": 2, "eps": 0.3, "eps_step": 0.1, "verbose": False},
    ),
    ("art:DeepFool", {"max_iter": 20}, "l2", LONG, by_art, {"max_iter": 20, "verbose": False}),
    ("art:SquareAttack", {"max_iter": 20}, "linf", 0.1, by_art, {"max_iter": 20, "eps": 0.1, "verbose": False}),
    (
        "secmlt:PGD",
        {"num_steps": 5, "step_size": 0.01, "random_start": True},
        "linf",
        0.03,
        by_secmlt,
        {
            "perturbation_model": "linf",
            "epsilon": 0.03,
            "num_steps": 5,
            "step_size": 0.01,
            "random_start": True,
            "backend": "native",
        },
    ),
    ("secmlt:DDN", {"num_steps": 30}, "l2", LONG, by_secmlt, {"num_steps": 30}),
    (
        "autoattack",
        {"attacks": "apgd-ce+square", "steps": 2, "queries": 20},
        "linf",
        0.03,
        by_autoattack,
        {"attacks": ["apgd-ce", "square"]},
    ),
    ("autoattack", {"attacks": "fab-t", "steps": 2}, "l2", 0.3, by_autoattack, {"attacks": ["fab-t"]}),
    ("autoattack", {"attacks": "square", "queries": 20}, "linf", 0.1, by_autoattack, {"attacks": ["square"]}),
]


@pytest.mark.parametrize(
    ("text", "options", "norm", "radius", "direct", "told"),
    CASES,
    ids=[f"{case[0]}-{case[2]}-{n}" for n, case in enumerate(CASES)],
)
def test_the_adapter_gives_what_the_library_gives(
    text: str, options: dict[str, Any], norm: Any, radius: float, direct: Direct, told: dict[str, Any]
) -> None:
    with sealed(SEED):
        expected = direct(text.partition(":")[2], norm, radius, told)
    inputs, labels = images()
    found = attack(text, victim(), inputs, labels, radius=radius, norm=norm, seed=SEED, **options)
    torch.testing.assert_close(found.perturbed, expected, rtol=0, atol=2e-6)
    assert not torch.equal(found.perturbed, inputs), "nothing moved: nothing compared"
    assert torch.equal(found.success, victim()(found.perturbed).argmax(1) != labels)


@pytest.mark.parametrize(
    ("text", "options", "norm", "radius"),
    [case[:4] for case in CASES],
    ids=[f"{case[0]}-{case[2]}-{n}" for n, case in enumerate(CASES)],
)
def test_the_same_seed_gives_the_same_answer_and_no_state_changes(
    text: str, options: dict[str, Any], norm: Any, radius: float
) -> None:
    need(LIBRARIES[text.partition(":")[0]].module)
    (inputs, labels), net = images(), victim()
    states = [torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))]
    first = attack(text, net, inputs, labels, radius=radius, norm=norm, seed=SEED, **options)
    torch.rand(3)
    np.random.rand(3)
    torch.set_rng_state(states[0])
    second = attack(text, net, inputs, labels, radius=radius, norm=norm, seed=SEED, **options)
    assert torch.equal(first.perturbed, second.perturbed) and torch.equal(first.success, second.success)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert all(p.grad is None and p.requires_grad for p in net.parameters()) and not net.training


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_an_unknown_attack_names_the_nearest_of_that_library(library: str) -> None:
    need(LIBRARIES[library].module)
    if library == "autoattack":
        with pytest.raises(UnknownNameError, match="unknown attack 'apgd' in autoattack; did you mean 'apgd-t'"):
            libraries.find("autoattack")(attacks="apgd")
        return
    known = LIBRARIES[library].names()[0]
    with pytest.raises(UnknownNameError, match=f"unknown {library} attack '{known}x'; did you mean '{known}'"):
        libraries.find(f"{library}:{known}x")


def test_installed_libraries_list_their_attacks() -> None:
    listed = libraries.names()
    assert set(listed) <= set(LIBRARIES)
    for name, wanted in {
        "foolbox": {"LinfPGD", "L2CarliniWagnerAttack", "BoundaryAttack"},
        "art": {"DeepFool", "HopSkipJump"},
        "torchattacks": {"PGD", "CW"},
        "secmlt": {"PGD", "DDN"},
        "autoattack": {""},
    }.items():
        assert name not in listed or wanted <= set(listed[name])


@pytest.mark.parametrize(
    ("text", "norm", "says"),
    [
        ("foolbox:L1PGD", "l2", "searches in l1, not in l2"),
        ("foolbox:LinfPGD", "l2", "searches in linf, not in l2"),
        ("foolbox:EADAttack", "l2", "searches in l1, not in l2"),
        ("foolbox:SpatialAttack", "l2", "turns and shifts images"),
        ("torchattacks:JSMA", "linf", "searches in l0, not in linf"),
        ("torchattacks:DeepFool", "linf", "searches in l2, not in linf"),
        ("torchattacks:LGV", "linf", "trains other models"),
        ("art:CarliniL2Method", "linf", "searches in l2, not in linf"),
        ("art:AdversarialPatchPyTorch", "linf", "does not move the inputs of a classifier"),
        ("secmlt:DDN", "linf", "searches in l2, not in linf"),
    ],
)
def test_attacks_that_do_not_play_in_this_norm_are_refused_by_name(text: str, norm: Any, says: str) -> None:
    need(LIBRARIES[text.partition(":")[0]].module)
    inputs, labels = images(1)
    with pytest.raises(SettingError, match=says):
        attack(text, victim(), inputs, labels, radius=0.1, norm=norm)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("foolbox:BoundaryAttack", "hard-label"),
        ("foolbox:L2RepeatedAdditiveGaussianNoiseAttack", "hard-label"),
        ("foolbox:LinfPGD", "white-box"),
        ("art:HopSkipJump", "hard-label"),
        ("art:SquareAttack", "soft-label"),
        ("torchattacks:Square", "soft-label"),
        ("torchattacks:APGD", "white-box"),
        ("secmlt:HopSkipJump", "hard-label"),
    ],
)
def test_an_attack_declares_the_access_it_needs(text: str, needs: str) -> None:
    need(LIBRARIES[text.partition(":")[0]].module)
    assert libraries.find(text)().needs == needs


def test_autoattack_needs_logits_alone_where_it_is_square_alone() -> None:
    need("pyautoattack")
    assert libraries.find("autoattack")(attacks="square").needs == "soft-label"
    assert libraries.find("autoattack")().needs == "white-box"


DECIDES = [
    ("foolbox:HopSkipJumpAttack", {"steps": 2}),
    ("foolbox:BoundaryAttack", {"steps": 20}),
    ("foolbox:LinearSearchBlendedUniformNoiseAttack", {"steps": 20}),
    ("art:HopSkipJump", {"max_iter": 2, "max_eval": 100}),
    ("art:BoundaryAttack", {"max_iter": 20}),
    ("secmlt:BoundaryAttack", {"steps": 20}),
    ("torchattacks:GN", {"std": 1.0}),
]


@pytest.mark.parametrize(("text", "options"), DECIDES, ids=[case[0] for case in DECIDES])
def test_a_decision_based_attack_needs_the_classes_only(text: str, options: dict[str, Any]) -> None:
    """One-hot logits, without any gradient, lead to what the logits themselves lead to."""
    need(LIBRARIES[text.partition(":")[0]].module)
    inputs, labels = images()
    net = victim()

    def classes(asked: Tensor) -> Tensor:
        with torch.no_grad():
            return nn.functional.one_hot(net(asked).argmax(1), 6).to(asked.dtype)

    call: dict[str, Any] = {"radius": 3.0, "norm": "l2", "seed": SEED, **options}
    known, guessed = attack(text, net, inputs, labels, **call), attack(text, classes, inputs, labels, **call)
    assert torch.equal(known.perturbed, guessed.perturbed) and known.success.any()


# Defects of the libraries


def linear(weight: list[float], bias: float) -> nn.Module:
    """Class 1 where w.x + b > 0."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(len(weight), 2))
    net[1].weight.data = torch.tensor([[0.0] * len(weight), weight])
    net[1].bias.data = torch.tensor([0.0, bias])
    return net.eval()


def test_foolbox_s_black_images_for_failures_of_carlini_wagner_are_the_inputs_again() -> None:
    fb = need("foolbox")
    net, inputs, labels = linear([1.0, 1.0], -5.0), torch.tensor([[[[0.7, 0.4]]]]), torch.tensor([0])
    direct = fb.attacks.L2CarliniWagnerAttack(steps=20)(
        fb.PyTorchModel(net, bounds=(0, 1), device="cpu"), inputs, labels, epsilons=None
    )
    assert torch.equal(direct[0], torch.zeros_like(inputs)), "the defect is gone: the adapter need not mend it"
    found = attack("foolbox:L2CarliniWagnerAttack", net, inputs, labels, radius=0.5, norm="l2", steps=20)
    assert torch.equal(found.perturbed, inputs) and not found.success.any()


def test_torchattacks_deepfool_that_stalls_inside_the_boundary_counts_as_a_failure() -> None:
    torchattacks = need("torchattacks")
    # The steep pixel is at the edge of its range: every step is clipped, and closes a tenth of the distance left.
    net, inputs, labels = linear([3.0, 1.0], -3.5), torch.tensor([[[[1.0, 0.2]]]]), torch.tensor([0])
    with sealed(0):
        direct = torchattacks.DeepFool(net)(inputs, labels)
    assert not torch.equal(direct, inputs) and net(direct).argmax(1).item() == 0
    found = attack("torchattacks:DeepFool", net, inputs, labels, radius=1.0, norm="l2")
    torch.testing.assert_close(found.perturbed, direct)
    assert found.success.tolist() == [False]


def test_torchattacks_carlini_wagner_does_not_move_saturated_pixels_and_the_mask_says_that_it_failed() -> None:
    need("torchattacks")
    net, inputs, labels = linear([-1.0, 0.1], 0.5), torch.tensor([[[[1.0, 0.2]]]]), torch.tensor([0])
    net[1].bias.data += 5.0  # its objective takes logits for positive: see the next test
    call: dict[str, Any] = {"radius": 2.0, "norm": "l2", "steps": 200, "c": 10, "lr": 0.1}
    found = attack("torchattacks:CW", net, inputs, labels, **call)
    assert found.perturbed[0, 0, 0, 0] == 1.0 and found.success.tolist() == [False]
    freed = attack("torchattacks:CW", net, inputs * 0.99, labels, **call)
    assert freed.success.tolist() == [True], "the same victim falls where the pixel is not at the edge"


def test_torchattacks_carlini_wagner_that_takes_logits_for_positive_counts_as_a_failure() -> None:
    """Its margin takes maxima over logits multiplied by 0 and 1: no gradient where the largest are negative."""
    need("torchattacks")
    net, inputs, labels = linear([-1.0, 0.1], 0.5), torch.tensor([[[[0.9, 0.2]]]]), torch.tensor([0])
    call: dict[str, Any] = {"radius": 2.0, "norm": "l2", "steps": 200, "c": 10, "lr": 0.1}
    for shift, succeeds in ((0.0, False), (5.0, True)):
        net[1].bias.data = torch.tensor([0.0, 0.5]) + shift
        assert attack("torchattacks:CW", net, inputs, labels, **call).success.tolist() == [succeeds]


@pytest.mark.parametrize("name", ["HopSkipJump", "BoundaryAttack"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_art_s_attacks_that_fail_under_numpy_2_run_with_their_unseeded_starts_seeded(
    name: str, dtype: torch.dtype
) -> None:
    need("art")
    inputs, labels = images(2)
    call: dict[str, Any] = {"radius": LONG, "norm": "l2", "max_iter": 3}
    net = victim().to(dtype)
    first, second, other = (
        attack(f"art:{name}", net, inputs.to(dtype), labels, **call, seed=seed) for seed in (1, 1, 2)
    )
    assert first.success.all() and first.perturbed.dtype == dtype
    assert torch.equal(first.perturbed, second.perturbed)
    assert not torch.equal(first.perturbed, other.perturbed)


def ended(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, in a folder where it finds the installed package."""
    run = [sys.executable, "-c", f"import sys\n{code}"]
    return subprocess.run(run, capture_output=True, text=True, cwd=folder, env={**os.environ, **environment})


def test_art_without_packaging_is_named(tmp_path: Path) -> None:
    need("art")
    code = "sys.modules['packaging'] = None\nfrom advgames.agents import libraries\nlibraries.find('art:DeepFool')"
    last = ended(code, tmp_path).stderr.splitlines()[-1]
    assert last.startswith(f"{MissingExtraError.__module__}.MissingExtraError: art") and "packaging" in last


def test_foolbox_is_imported_where_there_is_no_git(tmp_path: Path) -> None:
    need("foolbox")
    code = "import os\nfrom advgames.agents import libraries\nlibraries.find('foolbox:LinfPGD')"
    found = ended(code + "\nassert 'GIT_PYTHON_REFRESH' not in os.environ", tmp_path, PATH=str(tmp_path))
    assert found.returncode == 0, found.stderr


def test_a_minimising_attack_that_exceeds_the_radius_is_projected_and_judged_again() -> None:
    need("foolbox")
    inputs, labels = images()
    far = attack("foolbox:L2DeepFoolAttack", victim(), inputs, labels, radius=LONG, norm="l2")
    distances = (far.perturbed - inputs).flatten(1).norm(dim=1)
    radius = float(distances.median())
    near = attack("foolbox:L2DeepFoolAttack", victim(), inputs, labels, radius=radius, norm="l2")
    assert far.success.all()
    assert near.success.tolist() == (distances <= radius).tolist() and not near.success.all()
    assert float((near.perturbed - inputs).flatten(1).norm(dim=1).max()) <= radius * (1 + 1e-5)


def test_one_input_without_a_starting_point_does_not_stop_the_others() -> None:
    fb = need("foolbox")
    # No noise reaches the far corner where the second input's label, 0, ends; the first is there already.
    net, labels = linear([1.0] * 16, -15.0), torch.tensor([1, 0])
    inputs = torch.stack([torch.full((1, 4, 4), 0.97), torch.full((1, 4, 4), 0.1)])
    with pytest.raises(ValueError, match=r"init_attack failed for 1\.0 of 2"), sealed(0):
        fb.attacks.BoundaryAttack(steps=5)(fb.PyTorchModel(net, (0, 1), device="cpu"), inputs, labels, epsilons=None)
    found = attack("foolbox:BoundaryAttack", net, inputs, labels, radius=3.0, norm="l2", steps=20)
    assert found.success.tolist() == [True, False] and torch.equal(found.perturbed[1], inputs[1])


@pytest.mark.parametrize(
    ("text", "options"),
    [("torchattacks:PGD", {"alpha": 0.002}), ("autoattack", {"attacks": "apgd-ce", "steps": 5})],
)
def test_libraries_that_know_the_unit_range_only_play_in_any_range(text: str, options: dict[str, Any]) -> None:
    """The victim z -> f((z + 2) / 4) on [-2, 2] falls to the same perturbations, four times as long."""
    need(LIBRARIES[text.partition(":")[0]].module)
    (inputs, labels), net = images(), victim()
    unit = attack(text, net, inputs, labels, radius=0.05, norm="linf", seed=SEED, **options)
    if "alpha" in options:
        options = {**options, "alpha": 4 * options["alpha"]}

    def wide(asked: Tensor) -> Tensor:
        logits: Tensor = net((asked + 2) / 4)
        return logits

    call: dict[str, Any] = {"radius": 0.2, "norm": "linf", "seed": SEED, **options}
    found = attack(text, wide, 4 * inputs - 2, labels, bounds=(-2.0, 2.0), **call)
    torch.testing.assert_close((found.perturbed + 2) / 4, unit.perturbed, rtol=0, atol=1e-5)
    free = attack(text, wide, 4 * inputs - 2, labels, bounds=None, **call)
    assert free.success.float().mean() >= found.success.float().mean() - 0.2


@pytest.mark.parametrize("text", ["torchattacks:PGDL2", "torchattacks:MIFGSM", "autoattack"])
def test_libraries_of_images_play_on_points(text: str) -> None:
    need(LIBRARIES[text.partition(":")[0]].module)
    net, inputs = linear([1.0, 0.5], -0.75), torch.tensor([[0.55, 0.3], [0.2, 0.1]])
    norm: Any = "linf" if "MI" in text else "l2"
    options = {"attacks": "apgd-ce", "steps": 10} if text == "autoattack" else {"steps": 10}
    found = attack(text, net, inputs, torch.tensor([0, 0]), radius=0.1, norm=norm, **options)
    assert found.success.tolist() == [True, False] and found.perturbed.shape == (2, 2)


def test_autoattack_takes_as_many_steps_and_queries_as_it_is_told() -> None:
    need("pyautoattack")
    (inputs, labels), net, calls = images(1), victim(), [0]

    def counted(asked: Tensor) -> Tensor:
        calls[0] += 1
        return net(asked) + 100 * torch.eye(6)[labels]  # never fooled: all steps are taken

    for attacks, option, restarts in (("apgd-ce", "steps", 5), ("square", "queries", 1)):
        used = []
        for count in (3, 13):
            calls[0] = 0
            call: dict[str, Any] = {"radius": 0.01, "norm": "linf", "attacks": attacks, option: count}
            attack("autoattack", counted, inputs, labels, **call)
            used.append(calls[0])
        assert used[1] - used[0] == 10 * restarts


def test_autoattack_s_losses_that_two_classes_do_not_define_are_refused_by_name() -> None:
    need("pyautoattack")
    with pytest.raises(SettingError, match=r"the loss of apgd-t needs 4 classes, the victim has 2; take autoattack\("):
        attack("autoattack", linear([1.0], 0.0), torch.rand(1, 1), torch.tensor([0]), radius=0.1, norm="l2")
