"""The test-time game: an attacker and a defender add perturbations to the inputs of a trained victim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advgames import rng
from advgames.errors import ActionShapeError, SettingError
from advgames.games.base import Actions, Game, Payoffs
from advgames.games.batches import PLAYERS_RADII, next_ids, radii
from advgames.games.perturbation_access import HardLabelAccess, Meter, SoftLabelAccess, WhiteBoxAccess
from advgames.games.perturbation_outcome import Outcome, outcome
from advgames.games.perturbation_settings import PerturbationSettings, recipe_of
from advgames.games.perturbation_state import PerturbationState
from advgames.games.spaces import Ball, Box, Classes, Observation, Space
from advgames.games.transition import Transition
from advgames.settings import parse, precision
from advgames.tasks import Task, load_task, load_weights, trained_module
from advgames.tasks.trained import frozen, import_victim
from advgames.threat import Threat
from advgames.victims import FixedVictim

__all__ = ["PerturbationGame"]

_PHASES = {
    "simultaneous": (("attacker", "defender"),),
    "attacker-first": (("attacker",), ("defender",)),
    "defender-first": (("defender",), ("attacker",)),
}


class PerturbationGame(Game[PerturbationState]):
    """Additive attacks and defences on a fixed victim (P1; additive_nash.txt section 2), for G matches at once.

    A round: a minibatch of inputs is drawn; the attacker submits a(x) per input, the defender d, one vector for
    all inputs or one per input, in the order that the settings say; the victim classifies x + eps_atk a + eps_def d.
    The attacker receives the mean payoff of the inputs, divided by the number of rounds, and the defender its opposite:
    a match pays the mean over its rounds.

    An action may be a randomised strategy of D equally likely draws, (G, D, B or 1, *input_shape), where nobody moves
    after it: the round then pays the expectation over draws.

    Args:
        task: a task, or its name.
        victim: a trained module to attack in place of the task's own (a copy is taken, in evaluation mode), or the
            place to import one from, ``"my_module:name"``.
        device, dtype: where and in what precision the game lives.
        data_root: folder of data files for tasks that need them.
        settings: see :class:`PerturbationSettings`.
    """

    name = "perturbation"
    players = ("attacker", "defender")
    zero_sum = True
    settings_model = PerturbationSettings
    hidden = "the defender knows no labels, and a defender who plays one vector sees no input that is not perturbed yet"

    def __init__(
        self,
        task: Task | str = "digits",
        *,
        victim: nn.Module | str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = torch.float32,
        data_root: str | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(victim, str):
            settings["victim"], victim = victim, None
        given = parse(PerturbationSettings, settings, self.name)
        sizes = (given.train_size, given.validation_size, given.test_size)
        if isinstance(task, str):
            task = load_task(task, data_root, *sizes)
        elif any(sizes):
            raise SettingError("train_size, validation_size and test_size apply to tasks given by name only")
        self.device, self.dtype = torch.device(device), precision(dtype)
        self.settings = given.completed(task)
        self.phases = _PHASES[given.order]
        chunk = given.chunk_size or (256 if self.device.type == "cpu" else 4096)
        module = self._module(task, victim).to(self.device, self.dtype)
        self.victim = FixedVictim(module, task.input_shape, chunk)
        if self.victim.num_classes != task.num_classes:
            raise SettingError(f"{task.name} has {task.num_classes} classes, the victim {self.victim.num_classes}")
        self.task = task.to(self.device, self.dtype)
        self.threat = Threat(given.norm, task.bounds if self.settings.clip else None)

    def _module(self, task: Task, victim: nn.Module | None) -> nn.Module:
        given = self.settings
        trained = given.victim_epochs is not None or given.victim_seed is not None
        if sum([victim is not None or bool(given.victim), bool(given.victim_weights), trained]) > 1:
            raise SettingError(
                "a victim is given, or loaded (victim_weights), or trained (victim_epochs, victim_seed): one only"
            )
        if given.victim:
            victim = import_victim(given.victim)
        if victim is not None:
            if not isinstance(victim, nn.Module):
                raise SettingError(f"victim must be a torch module, or 'my_module:name' of one, got {victim!r}")
            return frozen(victim)
        if given.victim_weights:
            return load_weights(task, given.victim_weights)
        return frozen(trained_module(task, recipe_of(given, task)))

    @property
    def horizon(self) -> int:
        """Rounds of a match."""
        return self.settings.rounds

    @property
    def batch_size(self) -> int:
        """Inputs per minibatch."""
        return int(self.settings.batch_size or 0)

    def match_settings(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """The two radii of a match with these settings."""
        found = parse(PerturbationSettings, settings, self.name).completed(self.task)
        return {name: float(getattr(found, name)) for name in PLAYERS_RADII}

    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> PerturbationState:
        """Fresh matches, one per seed, and their first minibatch.

        Args:
            seeds: one per match: they decide the order of the inputs.
            per_match: ``epsilon_attacker`` and ``epsilon_defender``: radii of each match; default: the settings'.
        """
        keys = rng.seed_tensor(seeds, self.device)
        usual = (self.settings.epsilon_attacker, self.settings.epsilon_defender)
        own, other = radii(len(keys), per_match, usual, self.dtype, self.device, self.name)
        none = torch.zeros(len(keys), dtype=torch.int64, device=self.device)
        return PerturbationState(
            round=0,
            phase=0,
            seeds=keys,
            epsilon_attacker=own,
            epsilon_defender=other,
            tallies={},
            queries_attacker=none,
            queries_defender=none.clone(),
            **self._minibatch(keys, 0, None),
        )

    def observe(self, state: PerturbationState, player: str) -> dict[str, Tensor]:
        """inputs (G, B, *shape), progress (G, 1), and for the attacker the true labels (G, B). All are copies.

        The attacker sees x, or x + d once the defender has moved. The defender sees x' once the attacker has moved
        (before, nothing: zeros); moving first or at once it sees x where it answers per input, and other, known inputs
        where it plays one vector, which may not depend on the inputs (additive_nash.txt section 2).
        """
        self._check_player(player)
        progress = torch.full_like(state.epsilon_attacker, state.round / self.horizon)
        seen = {"inputs": self._seen(state, player).clone(), "progress": progress.unsqueeze(1)}
        return seen | {"labels": state.labels.clone()} if player == "attacker" else seen

    def access(self, state: PerturbationState, player: str) -> HardLabelAccess:
        """What the settings grant the player."""
        self._check_player(player)
        attacks = player == "attacker"
        level = getattr(self.settings, f"access_{player}")
        own, other = state.epsilon_attacker, state.epsilon_defender
        vector = self.settings.defense == "vector"
        counts = state.queries_attacker if attacks else state.queries_defender
        meter = Meter(None if level == "white-box" or self.over(state) else counts)
        state.meters.append(meter)
        victim, others = self.victim, self.settings.known(self.task)

        def hard(inputs: Tensor) -> Tensor:
            return victim.logits(inputs).argmax(-1)

        def soft(inputs: Tensor) -> Tensor:
            return victim.logits(inputs)

        def known(count: int | None) -> Tensor:
            return others.inputs[:count].clone()

        common: dict[str, Any] = {
            **self._seat(state, player, 1.0 if attacks else -1.0),
            "threat": self.threat,
            "input_shape": self.task.input_shape,
            "radius": (own if attacks else other).clone(),
            "opponent_radius": (other if attacks else own).clone(),
            "shared": vector and not attacks,
            "opponent_shared": vector and attacks,
            "may_mix": player in self.phases[-1],
            "oracle": hard,
            "meter": meter,
            "seen": self._seen(state, player).clone(),
            "classes": state.classes if attacks else None,
            "num_classes": self.victim.num_classes,
            "payoff": self.settings.payoff,
            "known": known,
        }
        if level == "hard-label":
            return HardLabelAccess(**common)
        if level == "soft-label":
            return SoftLabelAccess(soft_oracle=soft, **common)
        return WhiteBoxAccess(victim=self.victim, soft_oracle=soft, **common)

    def action_space(self, player: str) -> Space:
        """Perturbations of norm at most 1: of each input, or one for all."""
        return Ball((self._rows(player), *self.task.input_shape), self.threat.norm)

    def observation_space(self, player: str) -> Observation:
        """Spaces of what :meth:`observe` returns for one match."""
        self._check_player(player)
        low, high = self.threat.bounds or (-float("inf"), float("inf"))
        shape = (self.batch_size, *self.task.input_shape)
        spaces: Observation = {"inputs": Box(shape, low, high), "progress": Box((1,), 0.0, 1.0)}
        if player == "attacker":
            spaces["labels"] = Classes((self.batch_size,), self.victim.num_classes)
        return spaces

    def null_action(self, state: PerturbationState, player: str) -> Tensor:
        """No perturbation."""
        return torch.zeros_like(state.inputs[:, : self._rows(player)])

    def measures(self, state: PerturbationState) -> dict[str, Tensor]:
        """Means over the rounds so far (before the first: of the first minibatch as it is), (G,) each.

        clean_accuracy, accuracy: of the victim before and after the perturbations; flip_rate: share of inputs whose
        class changed; linear_accuracy (under ``"flip-linear"``): share whose class does not change under f_L, the
        paper's approximate accuracy; distance: mean norm of what the perturbations add up to; queries of each player.
        """
        tallies, rounds = state.tallies, state.round
        if not tallies:
            clean = state.inputs.unsqueeze(1)
            tallies, rounds = self._outcome(state, clean).tallies, 1
        means = {name: total / rounds for name, total in tallies.items()}
        queries = {"queries_attacker": state.queries_attacker, "queries_defender": state.queries_defender}
        return means | {name: count.to(torch.float64) for name, count in queries.items()}

    def render(
        self, state: PerturbationState, match: int = 0, payoffs: Mapping[str, Sequence[float]] | None = None
    ) -> Any:
        """Up to six inputs with x, a, x + a, d, x + a + d side by side, and the attacker's payoffs so far."""
        from advgames.games.drawing import draw
        from advgames.games.render_perturbation import scene

        return draw(scene(self, state, match, payoffs))

    def pictures(self, state: PerturbationState, match: int = 0) -> dict[str, NDArray[Any]]:
        """Church windows around some inputs, and phi on a plane with robust sets, as arrays."""
        from advgames.games.perturbation_pictures import pictures

        return pictures(self, state, match)

    def _move(self, state: PerturbationState, actions: Actions) -> tuple[PerturbationState, Payoffs, Tensor]:
        matches = len(state.seeds)
        draws = {player: self._legal(action, state, player) for player, action in actions.items()}
        if state.phase + 1 < len(self.phases):
            (player,) = draws
            first = draws[player][:, 0]
            moved = self.threat.perturb(state.inputs, first, self._radius(state, player))
            zero = torch.zeros(matches, dtype=self.dtype, device=self.device)
            done = torch.zeros(matches, dtype=torch.bool, device=self.device)
            following = self._next_phase(state, first=first, moved=moved, **_fresh_counts(state))
            return following, {"attacker": zero, "defender": zero.clone()}, done
        return self._end_round(state, draws)

    def _end_round(
        self, state: PerturbationState, draws: dict[str, Tensor]
    ) -> tuple[PerturbationState, Payoffs, Tensor]:
        """Pay the round, and draw the next minibatch."""
        if state.first is not None:
            draws = {self.phases[0][0]: state.first.unsqueeze(1), **draws}
        attack, defense = draws["attacker"], draws["defender"]
        found = self._outcome(state, self._final_points(state, attack, defense))
        tallies = {name: state.tallies.get(name, 0.0) + value for name, value in found.tallies.items()}
        following = replace(
            state,
            round=state.round + 1,
            phase=0,
            tallies=tallies,
            first=None,
            moved=None,
            **_fresh_counts(state),
            last=self._transition(state, attack, defense),
            **self._minibatch(state.seeds, state.round + 1, state),
        )
        payoff = found.payoff / self.horizon
        done = torch.full((len(payoff),), following.round >= self.horizon, device=self.device)
        return following, {"attacker": payoff, "defender": -payoff}, done

    def _final_points(self, state: PerturbationState, attack: Tensor, defense: Tensor) -> Tensor:
        """Inputs after both moves, for every pair of draws, (G, D, B, *input_shape)."""
        points = []
        for a in attack.unbind(1):
            for d in defense.unbind(1):
                points.append(self._final(state, a, d))
        return torch.stack(points, 1)

    def _final(self, state: PerturbationState, attack: Tensor, defense: Tensor) -> Tensor:
        """x'': clipped after each move where players move in turn, once where they move at once."""
        perturb, own, other = self.threat.perturb, state.epsilon_attacker, state.epsilon_defender
        if state.moved is not None:
            last = (attack, own) if self.phases[-1] == ("attacker",) else (defense, other)
            return perturb(state.moved, *last)
        scale = [radius.reshape(-1, *[1] * (attack.ndim - 1)) for radius in (own, other)]
        return perturb(state.inputs, scale[0] * attack + scale[1] * defense, torch.ones_like(own))

    def _outcome(self, state: PerturbationState, points: Tensor) -> Outcome:
        known = self.settings.reference == "prediction"
        predicted = state.classes if known else self.victim.logits(state.inputs).argmax(-1)
        return outcome(self.victim, self.settings.payoff, self.threat, state, predicted, points)

    def _transition(self, state: PerturbationState, attacks: Tensor, defenses: Tensor) -> Transition:
        attack, defense = attacks[:, 0], defenses[:, 0]
        draws = torch.full_like(state.seeds, attacks.shape[1] * defenses.shape[1])
        attacked = self.threat.perturb(state.inputs, attack, state.epsilon_attacker)
        final = self._final(state, attack, defense)
        return Transition(state.labels, state.inputs, attack, attacked, defense.expand_as(attack), final, draws)

    def _legal(self, action: object, state: PerturbationState, player: str) -> Tensor:
        """The draws of an action, (G, D, B or 1, *input_shape); a pure one has D = 1."""
        like = self.null_action(state, player)
        if isinstance(action, Tensor) and action.shape == state.inputs.shape != like.shape:
            raise ActionShapeError(
                f"{player}: expected one vector for all inputs, {tuple(like.shape)}, got {tuple(action.shape)}; "
                "access.pool(directions) makes one of many, and the setting defense='per-input' takes one of each input"
            )
        if not isinstance(action, Tensor) or action.ndim != like.ndim + 1:
            return self.threat.check(action, like, player).unsqueeze(1)
        if state.phase + 1 < len(self.phases):
            raise ActionShapeError(f"{player}: who moves before another player plays one draw, not a mix of several")
        draws = action.shape[1]
        if action.shape != (like.shape[0], draws, *like.shape[1:]) or draws == 0:
            raise ActionShapeError(
                f"{player}: expected shape {tuple(like.shape)} (matches, inputs, *input), or draws of that between "
                f"matches and inputs, got {tuple(action.shape)}"
            )
        flat = like.unsqueeze(1).expand(action.shape).flatten(1, 2)
        return self.threat.check(action.flatten(1, 2), flat, player).reshape(action.shape)

    def _minibatch(self, seeds: Tensor, iteration: int, before: PerturbationState | None) -> dict[str, Any]:
        """The fields of the state that change with the round; after the last one, the last minibatch again."""
        names = ("order", "sample_ids", "inputs", "labels", "classes")
        if before is not None and iteration >= self.horizon:
            return {name: getattr(before, name) for name in names}
        pool = self.settings.pool(self.task)
        order, ids = next_ids(seeds, iteration, self.batch_size, len(pool), None if before is None else before.order)
        batch = pool.take(ids)
        by_label = self.settings.reference == "label"
        classes = batch.labels if by_label else self.victim.logits(batch.inputs).argmax(-1)
        return dict(zip(names, (order, ids, batch.inputs, batch.labels, classes), strict=True))

    def _seen(self, state: PerturbationState, player: str) -> Tensor:
        """The inputs a player sees, (G, B, *input_shape)."""
        if state.moved is not None and player in self.movers(state):
            return state.moved
        if player == "attacker" or (self.settings.defense == "per-input" and self.phases[0] != ("attacker",)):
            return state.inputs
        if self.phases[0] == ("attacker",):
            return torch.zeros_like(state.inputs)
        drawn, others = rng.bits(state.seeds, "known", state.round, (self.batch_size,)), self.settings.known(self.task)
        return others.inputs[(drawn & 0x7FFFFFFF) % len(others)]

    def _rows(self, player: str) -> int:
        """Perturbations that make one action."""
        self._check_player(player)
        return 1 if player == "defender" and self.settings.defense == "vector" else self.batch_size

    def _radius(self, state: PerturbationState, player: str) -> Tensor:
        return state.epsilon_attacker if player == "attacker" else state.epsilon_defender


def _fresh_counts(state: PerturbationState) -> dict[str, Any]:
    """Closes the accesses of a phase that is over; the next phase counts on in tensors of its own."""
    for meter in state.meters:
        meter.closed = True
    counts = {"queries_attacker": state.queries_attacker.clone(), "queries_defender": state.queries_defender.clone()}
    return {"meters": [], **counts}
