"""The training-time game: an attacker perturbs every minibatch while a victim trains, a defender repairs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from advgames import derivatives, rng
from advgames.errors import SettingError
from advgames.games.base import Actions, Game, Payoffs
from advgames.games.batches import PLAYERS_RADII, next_ids, radii, shared
from advgames.games.poisoning_access import PoisoningAccess, ValidationPass
from advgames.games.poisoning_settings import PoisoningSettings
from advgames.games.poisoning_state import PoisoningState
from advgames.games.spaces import Ball, Box, Classes, Observation, Space
from advgames.games.transition import Transition
from advgames.optimizers import Params, make_optimizer
from advgames.settings import parse, precision
from advgames.tasks import Task, load_task
from advgames.threat import Threat
from advgames.victims import Victim

__all__ = ["LEAST_LOSS", "PoisoningGame"]

LEAST_LOSS = 1e-30  # smaller ones count as this where payoffs are logarithms


class PoisoningGame(Game[PoisoningState]):
    """R2T2's training-time game (r2t2.txt section 3), for G matches at once.

    A round: a minibatch is drawn; the attacker submits delta, x' = x + eps_atk delta (eq. 1); the defender sees x'
    only and submits sigma, x'' = x' + eps_def sigma (eq. 2); the victim takes one optimiser step on the mean loss
    of x''. Payoffs are +-U_t, the increment of the mean validation loss (eq. 4, with the mean for the sum), so
    that the attacker's payoffs add up to the final validation loss minus the initial one.

    Args:
        task: a task, or its name.
        device, dtype: where and in what precision the game lives.
        data_root: folder of data files for tasks that need them.
        settings: see :class:`PoisoningSettings`.
    """

    name = "poisoning"
    players = ("attacker", "defender")
    phases = (("attacker",), ("defender",))
    zero_sum = True
    settings_model = PoisoningSettings
    hidden = "the defender never sees clean inputs; neither player sees the training set as a whole, or the test set"

    def __init__(
        self,
        task: Task | str = "digits",
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = torch.float32,
        data_root: str | None = None,
        **settings: Any,
    ) -> None:
        given = parse(PoisoningSettings, settings, "poisoning")
        sizes = (given.train_size, given.validation_size, given.test_size)
        if isinstance(task, str):
            task = load_task(task, data_root, *sizes)
        elif any(sizes):
            raise SettingError("train_size, validation_size and test_size apply to tasks given by name only")
        self.device, self.dtype = torch.device(device), precision(dtype)
        self.task = task.to(self.device, self.dtype)
        self.settings = given.completed(task)
        with torch.random.fork_rng(devices=[]):  # modules initialise themselves from the global generator
            self.victim: Victim = task.make_victim()
        self.victim.batching = given.batching
        self.victim.module.to(self.device, self.dtype)
        self.threat = Threat(given.norm, task.bounds)
        assert self.settings.optimizer and self.settings.learning_rate
        self.optimizer = make_optimizer(self.settings.optimizer, self.settings.learning_rate, given.momentum)
        self._chunk = self.settings.chunk_size or _default_chunk(self.victim)

    @property
    def horizon(self) -> int:
        """Training iterations of a match."""
        return int(self.settings.iterations or 0)

    @property
    def batch_size(self) -> int:
        """Samples per minibatch."""
        return int(self.settings.batch_size or 0)

    def match_settings(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """The two radii of a match with these settings."""
        found = parse(PoisoningSettings, settings, "poisoning").completed(self.task)
        return {name: float(getattr(found, name)) for name in PLAYERS_RADII}

    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> PoisoningState:
        """Untrained models, one per seed, and their first minibatch.

        Args:
            seeds: one per match.
            per_match: ``epsilon_attacker`` and ``epsilon_defender``: radii of each match; default: the settings'.
        """
        keys = rng.seed_tensor(seeds, self.device)
        usual = (self.settings.epsilon_attacker, self.settings.epsilon_defender)
        own, other = radii(len(keys), per_match, usual, self.dtype, self.device, self.name)
        params = {name: p.to(self.device) for name, p in self.victim.init(keys).items()}
        validation = self._validation_pass(params)
        validation.evaluate()
        order, ids, inputs, labels = self._minibatch(keys, 0, None)
        return PoisoningState(
            round=0,
            phase=0,
            seeds=keys,
            epsilon_attacker=own,
            epsilon_defender=other,
            params=params,
            buffers=self.optimizer.init(params),
            order=order,
            sample_ids=ids,
            inputs=inputs,
            labels=labels,
            initial_loss=validation.loss,
            validation_loss=validation.loss,
            budget=None if self.settings.budget is None else torch.full_like(own, self.settings.budget),
            validation=validation,
        )

    def observe(self, state: PoisoningState, player: str) -> dict[str, Tensor]:
        """inputs (G, B, *shape): clean for the attacker, x' for the defender; labels; progress and loss (G, 1).

        All are copies. The loss is 0 for an attacker who does not know the validation set (R9). Where there is a budget
        the attacker sees which share of it is left, (G, 1).
        """
        self._check_player(player)
        seen = state.attacked if player == "defender" and state.attacked is not None else state.inputs
        if player == "defender" and state.attacked is None:
            seen = torch.zeros_like(state.inputs)  # before the attacker's move there is nothing to see
        progress = torch.full_like(state.validation_loss, state.round / self.horizon)
        unknown = player == "attacker" and self.settings.validation == "batch"
        loss = torch.zeros_like(state.validation_loss) if unknown else state.validation_loss.clone()
        found = {
            "inputs": seen.clone(),
            "labels": state.labels.clone(),
            "progress": progress.unsqueeze(1),
            "validation_loss": loss.unsqueeze(1),
        }
        if state.budget is not None and player == "attacker":
            found["budget"] = (state.budget / float(self.settings.budget or 1.0)).unsqueeze(1)
        return found

    def access(self, state: PoisoningState, player: str) -> PoisoningAccess:
        """White-box access to the training of the matches (r2t2.txt section 3), without what is hidden."""
        self._check_player(player)
        attacks = player == "attacker"
        own, other = self._attackers_radius(state), state.epsilon_defender
        return PoisoningAccess(
            **self._seat(state, player, 1.0 if attacks else -1.0),
            threat=self.threat,
            input_shape=self.task.input_shape,
            radius=own if attacks else other,
            opponent_radius=other if attacks else own,
            victim=self.victim,
            params=state.params,
            buffers=state.buffers,
            optimizer=self.optimizer,
            labels=state.labels,
            validation=self._players_validation(state, player),
            chunk_size=self._chunk,
            sample_ids=state.sample_ids.clone() if attacks else None,
            num_samples=self.horizon * self.batch_size if self.task.draw else len(self.task.train),
            budget=state.budget.clone() if attacks and state.budget is not None else None,
            reach=state.epsilon_attacker if attacks else None,
            known=None if attacks and self.settings.validation == "batch" else self.task.validation.inputs,
        )

    def action_space(self, player: str) -> Space:
        """Perturbations of the minibatch with norm at most 1 per input."""
        self._check_player(player)
        return Ball((self.batch_size, *self.task.input_shape), self.threat.norm)

    def observation_space(self, player: str) -> Observation:
        """Spaces of what :meth:`observe` returns for one match."""
        self._check_player(player)
        low, high = self.task.bounds or (-float("inf"), float("inf"))
        classes = self.task.num_classes
        label_shape = (self.batch_size, *self.task.train.labels.shape[1:])
        space: Observation = {
            "inputs": Box((self.batch_size, *self.task.input_shape), low, high),
            "labels": Classes(label_shape, classes) if classes else Box(label_shape),
            "progress": Box((1,), 0.0, 1.0),
            "validation_loss": Box((1,), 0.0),
        }
        if self.settings.budget is not None and player == "attacker":
            space["budget"] = Box((1,), 0.0, 1.0)
        return space

    def null_action(self, state: PoisoningState, player: str) -> Tensor:
        """No perturbation."""
        self._check_player(player)
        return torch.zeros_like(state.inputs)

    def measures(self, state: PoisoningState) -> dict[str, Tensor]:
        """Validation loss, test loss and (for classification) test accuracy, (G,) each."""
        test, matches = self.task.test, len(state.seeds)
        loss = torch.zeros(matches, dtype=self.dtype, device=self.device)
        correct = torch.zeros(matches, dtype=torch.int64, device=self.device)
        with torch.no_grad():
            for c in derivatives.chunks(max(self._chunk, 512), len(test)):
                inputs, labels = shared(test.inputs[c], matches), shared(test.labels[c], matches)
                outputs = self.victim(state.params, inputs)
                loss += self.victim.loss(outputs, labels).sum(1)
                if self.task.num_classes:
                    correct += (outputs.argmax(-1) == labels).sum(1)
        found = {"validation_loss": state.validation_loss, "test_loss": loss / len(test)}
        if self.task.num_classes:
            found["test_accuracy"] = correct.to(torch.float64) / len(test)
        return found

    def render(
        self, state: PoisoningState, match: int = 0, payoffs: Mapping[str, Sequence[float]] | None = None
    ) -> Any:
        """Up to six inputs with x, delta, x', sigma, x'' side by side, and the validation loss so far.

        Between rounds the last minibatch is shown, after the attacker's move the present one.
        """
        from advgames.games.drawing import draw
        from advgames.games.render_poisoning import scene

        return draw(scene(self, state, match, payoffs))

    def _move(self, state: PoisoningState, actions: Actions) -> tuple[PoisoningState, Payoffs, Tensor]:
        matches = len(state.seeds)
        if state.phase == 0:
            attack = self.threat.check(actions["attacker"], state.inputs, "attacker")
            radius, budget = self._attackers_radius(state), state.budget
            attacked = self.threat.perturb(state.inputs, attack, radius)
            if budget is not None:
                budget = (budget - radius * self.threat.norms(attack).amax(1)).clamp(min=0.0)
            nothing = torch.zeros(matches, dtype=self.dtype, device=self.device)
            done = torch.zeros(matches, dtype=torch.bool, device=self.device)
            following = self._next_phase(state, attack=attack, attacked=attacked, budget=budget)
            return following, {"attacker": nothing, "defender": nothing.clone()}, done
        assert state.attack is not None and state.attacked is not None
        defense = self.threat.check(actions["defender"], state.inputs, "defender")
        repaired = self.threat.perturb(state.attacked, defense, state.epsilon_defender)
        _, gradient = derivatives.loss_and_gradient(self.victim, state.params, repaired, state.labels, self._chunk)
        params, buffers = self.optimizer.update(state.params, gradient, state.buffers)
        validation = self._validation_pass(params)
        if state.validation is not None and state.validation.used and state.round + 1 < self.horizon:
            validation.evaluate()  # somebody reads gradients: the next one comes with this loss
        order, ids, inputs, labels = self._minibatch(state.seeds, state.round + 1, state)
        following = replace(
            state,
            round=state.round + 1,
            phase=0,
            params=params,
            buffers=buffers,
            order=order,
            sample_ids=ids,
            inputs=inputs,
            labels=labels,
            attack=None,
            attacked=None,
            validation_loss=validation.loss,
            validation=validation,
            subsample=None,
            last=Transition(
                state.labels,
                state.inputs,
                state.attack,
                state.attacked,
                defense,
                repaired,
                torch.ones_like(state.seeds),
            ),
        )
        gain = self._worth(validation.loss) - self._worth(state.validation_loss)
        done = torch.full((matches,), following.round >= self.horizon, device=self.device)
        return following, {"attacker": gain, "defender": -gain}, done

    def _attackers_radius(self, state: PoisoningState) -> Tensor:
        """How far the attacker may go now, (G,)."""
        if state.budget is None:
            return state.epsilon_attacker
        return torch.minimum(state.epsilon_attacker, state.budget)

    def _worth(self, loss: Tensor) -> Tensor:
        """What a validation loss is worth to the attacker."""
        return loss if self.settings.payoff == "loss" else loss.clamp(min=LEAST_LOSS).log()

    def _minibatch(
        self, seeds: Tensor, iteration: int, before: PoisoningState | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(epoch order, sample ids, inputs, labels) of an iteration; after the last one, the last again."""
        size = self.batch_size
        if before is not None and iteration >= self.horizon:
            return before.order, before.sample_ids, before.inputs, before.labels
        if self.task.draw is not None:
            drawn = self.task.draw(seeds, iteration, size).to(self.device, self.dtype)
            ids = torch.arange(iteration * size, (iteration + 1) * size, device=self.device)
            return seeds[:, None][:, :0], shared(ids, len(seeds)), drawn.inputs, drawn.labels
        order, ids = next_ids(seeds, iteration, size, len(self.task.train), None if before is None else before.order)
        batch = self.task.train.take(ids)
        return order, ids, batch.inputs, batch.labels

    def _validation_pass(self, params: Params, subset: Tensor | None = None) -> ValidationPass:
        """Validation points for stacked params: all of them, or those at `subset` (G, n)."""
        points = self.task.validation
        if subset is not None:
            drawn = points.take(subset)
            return ValidationPass(self.victim, params, drawn.inputs, drawn.labels, self._chunk)
        matches = len(next(iter(params.values())))
        inputs, labels = shared(points.inputs, matches), shared(points.labels, matches)
        return ValidationPass(self.victim, params, inputs, labels, self._chunk)

    def _players_validation(self, state: PoisoningState, player: str) -> ValidationPass:
        """The points a player reasons with this round."""
        if player == "attacker" and self.settings.validation == "batch":
            return ValidationPass(self.victim, state.params, state.inputs, state.labels, self._chunk)
        count = self.settings.validation_subsample
        if count is not None and count < len(self.task.validation):
            if state.subsample is None:  # drawn once a round, shared by both players
                order = rng.permutation(state.seeds, "subsample", state.round, len(self.task.validation))
                state.subsample = self._validation_pass(state.params, order[:, :count])
            return state.subsample
        if state.validation is None:
            state.validation = self._validation_pass(state.params)
        return state.validation


def _default_chunk(victim: Victim) -> int:
    return 128 if victim.convolves_on_cpu else 4096
