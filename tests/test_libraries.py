"""What every adapter of a library keeps: an honest mask, no trace, named refusals. A stub stands for the library."""

from __future__ import annotations

import logging
import random
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advgames.agents import libraries
from advgames.agents.libraries import LIBRARIES, LibraryAgent, LibraryAttack, find
from advgames.agents.libraries.base import Facts, Library, Options, Problem
from advgames.agents.libraries.sealed import sealed
from advgames.attacks import Attacked
from advgames.errors import AccessError, InputError, MissingExtraError, SettingError, UnknownNameError, VictimError
from advgames.games.perturbation import PerturbationGame
from advgames.threat import Threat

Run = Callable[[Problem], Tensor]


class Stub(Library):
    """A library of two attacks; what they do is said from outside."""

    name, module, ours = "stub", "math", frozenset({"eps"})

    def __init__(self, run: Run = lambda problem: problem.inputs, facts: Facts | None = None) -> None:
        self._run, self._facts = run, facts or Facts()

    def facts(self) -> dict[str, Facts]:
        self.load()
        return {"Given": self._facts, "Barred": Facts(refused="it is no attack")}

    def constructor(self, name: str) -> Callable[..., Any]:
        def make(steps: int = 1, eps: float = 1.0) -> None: ...

        return make

    def run(self, name: str, options: Options, problem: Problem) -> Tensor:
        return self._run(problem)


class Absent(Stub):
    """A library nobody has."""

    module = "no_such_library_of_attacks"


def halves() -> nn.Module:
    """Class 1 where the first of two entries exceeds one half."""
    net = nn.Linear(2, 2)
    net.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    net.bias.data = torch.tensor([0.5, 0.0])
    return net.eval()


def attacked(run: Run, inputs: list[list[float]], labels: list[int], **settings: Any) -> Attacked:
    call = {"radius": 0.2, "norm": "l2", **settings}
    return LibraryAttack(Stub(run), "Given")(halves(), torch.tensor(inputs), torch.tensor(labels), **call)


def adding(*delta: float) -> Run:
    return lambda problem: problem.inputs + torch.tensor(delta)


def test_success_is_what_the_victim_says_of_what_is_returned() -> None:
    found = attacked(adding(0.15, 0.0), [[0.4, 0.1], [0.3, 0.1]], [0, 0])
    torch.testing.assert_close(found.perturbed, torch.tensor([[0.55, 0.1], [0.45, 0.1]]))
    assert found.success.tolist() == [True, False]


@pytest.mark.parametrize(
    ("norm", "expected"), [("l2", [0.4 + 0.2 * 0.6, 0.1 + 0.2 * 0.8]), ("linf", [0.6, 0.3])], ids=["l2", "linf"]
)
def test_an_answer_outside_the_radius_is_projected_and_the_mask_is_of_the_projection(
    norm: str, expected: list[float]
) -> None:
    found = attacked(adding(3.0, 4.0), [[0.4, 0.1]], [0], norm=norm, bounds=None)
    torch.testing.assert_close(found.perturbed, torch.tensor([expected]))
    assert found.success.tolist() == [True]
    short = attacked(adding(3.0, 4.0), [[0.2, 0.1]], [0], norm=norm, bounds=None)
    assert short.success.tolist() == [False]


def test_an_answer_within_the_radius_is_returned_to_the_bit() -> None:
    inputs = torch.linspace(0.001, 0.01, 200).reshape(100, 2)
    answer = inputs + torch.linspace(0.05, 0.13, 200).reshape(100, 2)
    found = attacked(lambda _: answer, inputs.tolist(), [0] * 100)
    assert torch.equal(found.perturbed, answer)


def test_an_answer_outside_the_bounds_is_clipped() -> None:
    found = attacked(adding(0.15, 0.0), [[0.4, 0.1]], [0], bounds=(0.0, 0.45))
    torch.testing.assert_close(found.perturbed, torch.tensor([[0.45, 0.1]]))
    assert found.success.tolist() == [False]


def test_an_answer_that_is_not_finite_is_the_input_and_no_success() -> None:
    found = attacked(adding(float("nan"), 0.0), [[0.4, 0.1]], [0])
    assert torch.equal(found.perturbed, torch.tensor([[0.4, 0.1]])) and not found.success.any()


def test_what_is_misclassified_already_is_not_made_worse() -> None:
    found = attacked(adding(0.15, 0.0), [[0.4, 0.1], [0.7, 0.1]], [1, 1])
    assert torch.equal(found.perturbed[0], torch.tensor([0.4, 0.1])), "0.55 would be the label's class"
    assert found.success.tolist() == [True, False]


def test_radius_zero_moves_nothing_and_asks_nobody() -> None:
    def fail(problem: Problem) -> Tensor:
        raise AssertionError("asked")

    found = attacked(fail, [[0.4, 0.1], [0.7, 0.1]], [0, 0], radius=0.0)
    assert torch.equal(found.perturbed, torch.tensor([[0.4, 0.1], [0.7, 0.1]]))
    assert found.success.tolist() == [False, True]


def test_without_bounds_the_library_is_told_a_range_that_no_perturbation_leaves() -> None:
    told = []

    def run(problem: Problem) -> Tensor:
        told.append(problem.bounds)
        return problem.inputs

    attacked(run, [[-3.0, 0.1], [7.0, 0.1]], [0, 0], bounds=None, radius=0.5)
    assert told == [(-3.5, 7.5)]


def spoiling(problem: Problem) -> Tensor:
    """Everything that a library should not do to its surroundings."""
    print("noise")
    print("noise", file=sys.stderr)
    warnings.simplefilter("always")
    warnings.warn("noise", stacklevel=1)
    logging.info("a first call adds a handler")
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    sys.settrace(None)
    problem.model.train()
    problem.model.requires_grad_(False)
    moved = problem.inputs.clone().requires_grad_()
    problem.model(moved)[:, 1].sum().backward()
    assert moved.grad is not None
    return problem.inputs + 0.1 * torch.rand(2) + torch.tensor(np.random.RandomState().rand(2) * random.random() / 10)


def trace(*_: Any) -> None: ...


def state(net: nn.Module) -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": repr(np.random.get_state()),
        "python": random.getstate(),
        "RandomState": np.random.RandomState,
        "handlers": list(logging.root.handlers),
        "filters": list(warnings.filters),
        "trace": sys.gettrace(),
        "grad": torch.is_grad_enabled(),
        "victim": [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in net.parameters()],
        "training": net.training,
    }


def test_a_library_leaves_no_trace(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    net = halves()
    net.weight.grad = torch.ones(2, 2)
    monkeypatch.setattr(logging.root, "handlers", [])
    inputs, labels, debugger = torch.rand(3, 2), torch.zeros(3).long(), sys.gettrace()
    sys.settrace(trace)
    try:
        before = state(net)
        LibraryAttack(Stub(spoiling), "Given")(net, inputs, labels, radius=1.0, norm="linf")
        after = state(net)
    finally:
        sys.settrace(debugger)
    assert after == before
    assert capfd.readouterr() == ("", "")


def test_a_library_that_raises_leaves_no_trace_either() -> None:
    def run(problem: Problem) -> Tensor:
        spoiling(problem)
        raise ZeroDivisionError("inside")

    net, inputs = halves(), torch.tensor([[0.4, 0.1]])
    before = state(net)
    with pytest.raises(SettingError, match=r"stub:Given\(\) fails on inputs of shape \(2,\).*DivisionError: inside"):
        LibraryAttack(Stub(run), "Given")(net, inputs, torch.tensor([0]), radius=1.0, norm="linf")
    assert state(net) == before


def test_the_same_seed_gives_the_same_answer_and_another_seed_another() -> None:
    answers = []
    for seed in (5, 5, 6, 2**63 - 1):
        answers.append(attacked(spoiling_not, [[0.4, 0.1]], [0], seed=seed).perturbed)
        random.random()
        np.random.rand()
        torch.rand(1)
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2]) and not torch.equal(answers[0], answers[3])


def spoiling_not(problem: Problem) -> Tensor:
    """Draws from every global generator, and from one that would be seeded by the operating system."""
    draws = torch.rand(2) + torch.tensor(np.random.rand(2)) + random.random()
    return problem.inputs + 0.01 * (draws + torch.tensor(np.random.RandomState().rand(2)))


def test_unseeded_generators_made_one_after_the_other_differ() -> None:
    with sealed(3):
        first, second = np.random.RandomState().rand(), np.random.RandomState().rand()
    with sealed(3):
        again = np.random.RandomState().rand()
    assert first == again and first != second


def test_the_victim_s_weights_get_no_gradient_and_the_inputs_get_theirs() -> None:
    seen = {}

    def run(problem: Problem) -> Tensor:
        moved = problem.inputs.clone().requires_grad_()
        problem.model(moved)[:, 1].sum().backward(retain_graph=True)
        seen["inputs"] = moved.grad
        return problem.inputs

    net, inputs = halves(), torch.tensor([[0.4, 0.1]])
    LibraryAttack(Stub(run), "Given")(net, inputs, torch.tensor([0]), radius=1.0, norm="linf")
    assert torch.equal(seen["inputs"], torch.tensor([[1.0, 0.0]]))
    assert all(p.grad is None for p in net.parameters())


def test_a_library_that_computes_in_another_precision_is_understood() -> None:
    def run(problem: Problem) -> Tensor:
        assert problem.model(problem.inputs.float()).dtype == torch.float64
        return problem.inputs.float()

    inputs = torch.tensor([[0.4, 0.1]], dtype=torch.float64)
    found = LibraryAttack(Stub(run), "Given")(halves().double(), inputs, torch.tensor([0]), radius=1.0, norm="l2")
    assert found.perturbed.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"inputs": torch.tensor([[1, 0]])}, InputError, "float32 or float64, got torch.int64"),
        ({"inputs": torch.tensor([[0.5, float("nan")]])}, InputError, "NaN"),
        ({"inputs": torch.tensor([[0.5, 1.5]])}, InputError, "values from 0.5 to 1.5"),
        ({"labels": torch.tensor([0.0])}, InputError, "int64"),
        ({"labels": torch.tensor([0, 1])}, InputError, "do not lead"),
        ({"labels": torch.tensor([2])}, InputError, r"lie in \[0, 2\)"),
        ({"radius": -1.0}, InputError, "not negative"),
        ({"radius": float("inf")}, InputError, "finite"),
        ({"bounds": (1.0, 0.0)}, SettingError, "low < high"),
        ({"model": nn.Sequential(nn.Dropout(), halves())}, VictimError, r"\(Dropout\) is in training mode"),
        ({"model": nn.Sequential(nn.BatchNorm1d(2), halves())}, VictimError, r"\(BatchNorm1d\) is in training mode"),
        ({"model": lambda x: x[:, 0]}, VictimError, r"got \(1,\)"),
        ({"model": lambda x: x / 0}, VictimError, "NaN or infinity"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict[str, Any], error: type[Exception], says: str) -> None:
    call: dict[str, Any] = {
        "model": halves(),
        "inputs": torch.tensor([[0.4, 0.1]]),
        "labels": torch.tensor([0]),
        "radius": 0.1,
        "norm": "l2",
        **change,
    }
    with pytest.raises(error, match=says):
        LibraryAttack(Stub(), "Given")(call.pop("model"), call.pop("inputs"), call.pop("labels"), **call)


def test_an_attack_of_another_norm_is_refused() -> None:
    attack = LibraryAttack(Stub(facts=Facts(norms=("l0", "linf"))), "Given")
    with pytest.raises(SettingError, match=r"stub:Given\(\) searches in l0 and linf, not in l2"):
        attack(halves(), torch.rand(1, 2), torch.tensor([0]), radius=0.1, norm="l2")


def test_unknown_attacks_and_options_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown stub attack 'Gven'; did you mean 'Given'"):
        LibraryAttack(Stub(), "Gven")
    with pytest.raises(UnknownNameError, match="unknown option 'step' in stub:Given; did you mean 'steps'"):
        LibraryAttack(Stub(), "Given", {"step": 2})
    with pytest.raises(SettingError, match="'eps' is no option, the match decides it"):
        LibraryAttack(Stub(), "Given", {"eps": 2})
    with pytest.raises(SettingError, match="stub:Barred cannot be played: it is no attack"):
        LibraryAttack(Stub(), "Barred")
    assert Stub().names() == ["Given"]


def test_unknown_libraries_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'foolbox'"):
        find("foolbax:LinfPGD")
    with pytest.raises(UnknownNameError, match="did you mean 'autoattack'"):
        find("autoattack:apgd")


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "stub", Absent())
    with pytest.raises(MissingExtraError, match=r"stub attacks need .* \(pip install '\.\[attacks\]'.*no_such_lib"):
        find("stub:Given")


def test_options_of_a_function_stand_in_the_name_or_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Asked(Stub):
        def run(self, name: str, options: Options, problem: Problem) -> Tensor:
            asked.append(dict(options))
            return problem.inputs

    monkeypatch.setitem(LIBRARIES, "stub", Asked())
    problem: Any = (nn.Linear(2, 2), torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    for text, options in (
        ("stub:Given(steps=7)", {}),
        ("stub:Given", {"steps": 7}),
        ("stub:Given(steps=3)", {"steps": 7}),
    ):
        libraries.attack(text, *problem, radius=1.0, norm="l2", bounds=None, **options)
    assert asked == [{"steps": 7}] * 3
    with pytest.raises(UnknownNameError, match="steps"):
        libraries.attack("stub:Given(step=7)", *problem, radius=1.0, norm="l2")


def test_attacks_are_listed_by_library_of_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(LIBRARIES):
        monkeypatch.delitem(LIBRARIES, name)
    monkeypatch.setitem(LIBRARIES, "there", Stub())
    monkeypatch.setitem(LIBRARIES, "absent", Absent())
    assert libraries.names() == {"there": ["Given"]}


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_each_library_is_named_where_it_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = type(LIBRARIES[name])()
    monkeypatch.setitem(LIBRARIES, name, library)
    for module in [m for m in sys.modules if m.split(".")[0] == library.module]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library.module, None)
    assert not library.installed
    with pytest.raises(MissingExtraError, match=f"{name} attacks need .*pip install"):
        find(name if name == "autoattack" else f"{name}:PGD")


# The agent


def player(**change: Any) -> Any:
    """What an attacker of the test-time game is granted: two matches of two inputs, white-box."""
    net = halves()
    granted: dict[str, Any] = {
        "player": "attacker",
        "kind": "inputs",
        "level": "white-box",
        "sign": 1.0,
        "shared": False,
        "threat": Threat("l2", (0.0, 1.0)),
        "radius": torch.tensor([0.2, 0.1]),
        "labels": torch.tensor([[0, 0], [0, 1]]),
        "num_classes": 2,
        "model": net,
        "predict": None,
        "noise_seeds": torch.tensor([4, 9]),
        **change,
    }
    return SimpleNamespace(**granted)


INPUTS = torch.tensor([[[0.45, 0.1], [0.2, 0.1]], [[0.45, 0.3], [0.55, 0.3]]])


def agent(run: Run, **facts: Any) -> LibraryAgent:
    return LibraryAgent(LibraryAttack(Stub(run, Facts(**facts)), "Given", {"steps": 3}))


def test_the_agent_plays_units_of_each_match_s_radius() -> None:
    played = agent(adding(0.05, 0.0)).act({"inputs": INPUTS}, player())
    expected = torch.tensor([[[0.25, 0.0]] * 2, [[0.5, 0.0]] * 2])
    torch.testing.assert_close(played, expected)
    still = agent(adding(0.05, 0.0)).act({"inputs": INPUTS}, player(radius=torch.tensor([0.0, 0.1])))
    torch.testing.assert_close(still, torch.tensor([[[0.0, 0.0]] * 2, [[0.5, 0.0]] * 2]))


def test_a_match_is_played_as_it_would_be_alone() -> None:
    both = agent(spoiling_not).act({"inputs": INPUTS}, player())
    second = {"radius": torch.tensor([0.1]), "labels": torch.tensor([[0, 1]]), "noise_seeds": torch.tensor([9])}
    alone = agent(spoiling_not).act({"inputs": INPUTS[1:]}, player(**second))
    assert torch.equal(both[1:], alone)
    assert not torch.equal(both[0], both[1])


def test_the_agent_is_named_as_it_is_made() -> None:
    assert repr(agent(adding(0.0, 0.0))) == "stub:Given(steps=3)"


class Oracle:
    """The victim as a hard-label player meets it."""

    def __init__(self) -> None:
        self.net, self.queries = halves(), [0, 0]

    def predict(self, inputs: Tensor, match: int | None = None) -> Tensor:
        assert match is not None, "every run is one match's"
        self.queries[match] += len(inputs)
        found: Tensor = self.net(inputs).argmax(-1)
        return found


def test_under_hard_label_access_all_that_is_learned_are_answers_to_counted_queries() -> None:
    asked = []

    def run(problem: Problem) -> Tensor:
        logits = problem.model(problem.inputs[:1].expand(5, 2))
        asked.append(logits.tolist())
        assert not problem.model(problem.inputs.requires_grad_()).requires_grad
        return adding(0.08, 0.0)(problem)

    oracle = Oracle()
    access = player(level="hard-label", predict=oracle.predict)
    del access.model
    played = agent(run, needs="hard-label").act({"inputs": INPUTS}, access)
    # 0.08 in units of 0.2 and of 0.1
    torch.testing.assert_close(played, torch.tensor([[[0.4, 0.0], [0.4, 0.0]], [[0.8, 0.0], [0.8, 0.0]]]))
    assert asked == [[[1.0, 0.0]] * 5] * 2
    # per match: 2 clean, 5, 2 and 2 perturbed inputs
    assert oracle.queries == [11, 11]


def test_soft_labels_come_from_the_logits_oracle() -> None:
    seen = []

    def logits(inputs: Tensor, match: int | None = None) -> Tensor:
        seen.append((match, *inputs.shape))
        found: Tensor = halves()(inputs)
        return found

    access = player(level="soft-label", logits=logits)
    del access.model
    agent(adding(0.05, 0.0), needs="soft-label").act({"inputs": INPUTS}, access)
    assert seen == [(0, 2, 2)] * 2 + [(1, 2, 2)] * 2


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"level": "soft-label"}, AccessError, "needs white-box access, but attacker is granted soft-label"),
        ({"sign": -1.0, "player": "defender"}, SettingError, "attacks: it cannot play the defender"),
        ({"shared": True}, SettingError, "perturbs every input for itself"),
    ],
)
def test_what_an_attack_cannot_play_is_refused_before_it_starts(
    change: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        agent(adding(0.0, 0.0)).reset(player(**change))


def test_a_game_without_a_trained_victim_is_refused() -> None:
    access = player()
    del access.model, access.predict
    with pytest.raises(SettingError, match="attacks a fixed victim, which this game does not have"):
        agent(adding(0.0, 0.0)).reset(access)


@pytest.mark.parametrize("level", ["white-box", "soft-label", "hard-label"])
def test_the_agent_plays_the_test_time_game_at_every_level_of_access(level: Any) -> None:
    game = PerturbationGame("polygon", rounds=1, batch_size=8, epsilon=2.0, access_attacker=level)
    state = game.reset([0, 1, 2])
    access, attacker = game.access(state, "attacker"), agent(adding(1.0, 0.0), needs=level)
    attacker.reset(access)
    action = attacker.act(game.observe(state, "attacker"), access)
    torch.testing.assert_close(action, torch.tensor([0.5, 0.0]).expand(3, 8, 2))
    game.step(state, {"attacker": action, "defender": game.null_action(state, "defender")})
    with pytest.raises(SettingError, match="cannot play the defender"):
        attacker.reset(game.access(state, "defender"))
