"""stable-baselines3 at work: algorithms on an OpponentVecEnv, without global state, and their policies frozen."""

from __future__ import annotations

import importlib
import random
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.utils import safe_mean, set_random_seed
from torch import Tensor, nn

from advgames.agents.policies import HeadKind, ImageEncoder, Part, Policy, head_of, parts_of
from advgames.envs.players import Player
from advgames.envs.sb3 import OpponentVecEnv
from advgames.errors import ActionError, SettingError
from advgames.games import Game
from advgames.training.best_response import ALGORITHMS, LearningRecipe, Told, usual_options

__all__ = ["Reader", "architecture", "build", "freeze", "train", "try_build"]


def train(
    game: Game[Any], role: str, players: Mapping[str, Player | None], recipe: LearningRecipe, told: Told | None = None
) -> tuple[Policy, int]:
    """The frozen policy that a recipe learns in a seat of the game, and how many decisions it took."""
    with _isolated_randomness(recipe.seed, game.device):
        model = build(game, role, players, recipe)
        if recipe.start is not None:
            _begin(model, game, role, recipe.start.policy)
        try:
            model.learn(recipe.steps, callback=_Watch(told))
        except (ActionError, TypeError, ValueError, NameError) as error:
            # of options that the algorithm does not check, or by which it diverged
            within = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
            if not isinstance(error, ActionError) and any(name.startswith("advgames.") for name in within):
                raise  # by an opponent, a view, or whoever is told
            options, what = {**usual_options(recipe), **recipe.options}, str(error).partition("\n")[0]
            raise SettingError(
                f"{recipe.algorithm} as the {role} with {options} failed after {model.num_timesteps} steps: {what}"
            ) from error
        return freeze(model, game, role, recipe.images), int(model.num_timesteps)


def try_build(game: Game[Any], role: str, players: Mapping[str, Player | None], recipe: LearningRecipe) -> None:
    """Refuse options that the algorithm does not take, and what could not be frozen in the end.

    Raises:
        SettingError: naming them.
    """
    with _isolated_randomness(recipe.seed, game.device):
        build(game, role, players, recipe)


def build(game: Game[Any], role: str, players: Mapping[str, Player | None], recipe: LearningRecipe) -> BaseAlgorithm:
    """The algorithm as it begins.

    Raises:
        SettingError: it does not take the recipe's options, or could not be frozen in the end.
    """
    env = OpponentVecEnv(game, role, players, recipe.num_games)
    env.seed(recipe.first_match)
    made = getattr(importlib.import_module(ALGORITHMS[recipe.algorithm].package), recipe.algorithm)
    options = {**usual_options(recipe), **recipe.options}
    if recipe.algorithm == "TD3" and "action_noise" not in options:  # else it explores nothing
        size = env.action_space.shape or ()
        options["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, TD3_NOISE))
    try:
        model: BaseAlgorithm = made(
            "MultiInputPolicy",
            env,
            policy_kwargs=architecture(game, role, recipe),
            device=game.device,
            tensorboard_log=recipe.tensorboard,
            **options,
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise SettingError(f"{recipe.algorithm}: {error}") from error
    # the first actions off policy, and DQN's random ones, are drawn from the space
    model.action_space.seed(recipe.seed)
    freeze(model, game, role, recipe.images)  # what cannot be frozen is not trained
    return model


TD3_NOISE = 0.1  # standard deviation of what it adds to its actions while it learns


class Reader(BaseFeaturesExtractor):
    """Features of stable-baselines3: images through an encoder, everything else as it is.

    Args:
        observation_space: of the environment.
        parts: what is read, in order.
    """

    def __init__(self, observation_space: Any, parts: tuple[Part, ...]) -> None:
        super().__init__(observation_space, sum(part.size for part in parts))
        self.parts = parts
        self.encoders = nn.ModuleDict({part.name: ImageEncoder(part.shape[1]) for part in parts if part.images})

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Observations as stable-baselines3 hands them over, (N, features)."""
        numbers = [
            self.encoders[part.name](observations[part.name]) if part.images else observations[part.name].flatten(1)
            for part in self.parts
        ]
        return torch.cat(numbers, 1)


def freeze(model: BaseAlgorithm, game: Game[Any], role: str, images: bool = False) -> Policy:
    """The policy of a model of stable-baselines3 in pure torch, with its present weights.

    Args:
        model: trained on an :class:`~advgames.envs.sb3.OpponentVecEnv` of the game.
        game, role: what it plays.
        images: whether it reads images through a :class:`Reader`.

    Raises:
        SettingError: the model was trained on other observations or actions than those of `role`, or is built of
            layers that this suite does not know.
    """
    if getattr(model, "use_sde", False):
        raise SettingError("a policy with state-dependent exploration (use_sde) cannot be frozen")
    if model.get_vec_normalize_env() is not None:
        raise SettingError(
            "a policy that learned on VecNormalize reads other numbers than the game shows: train without"
        )
    reader = _reader(model)
    each = reader.extractors.values() if isinstance(reader, CombinedExtractor) else [reader]
    if not all(type(part) in (nn.Flatten, FlattenExtractor, Reader) for part in each):
        raise SettingError(f"a policy with a features extractor of its own cannot be frozen: {reader}")
    parts, space = parts_of(game.observation_space(role), images), game.action_space(role)
    known = list(getattr(model.observation_space, "spaces", {}))
    if known != [part.name for part in parts]:
        raise SettingError(f"the model reads {', '.join(known)}; the {role} sees {', '.join(p.name for p in parts)}")
    layers, log_std, kind = _layers(model)
    described = [_described(layer) for layer in layers]
    head = head_of(space, kind)
    policy = Policy(parts, described, head).to(model.device)
    weights = {f"{n}.{name}": w for n, layer in enumerate(layers) for name, w in layer.state_dict().items()}
    try:
        policy.body.load_state_dict(weights)
        if images:
            policy.encoders.load_state_dict(_reader(model).encoders.state_dict())
    except RuntimeError as error:
        raise SettingError(f"the model does not fit the {role} of {game.name}: {error}") from error
    if policy.log_std is not None and log_std is not None:
        policy.log_std.copy_(log_std)
    outputs = [size[-1] for size in described if size[0] == "linear"][-1]
    wanted = int(torch.Size(head.shape).numel()) * (head.classes or (2 if kind == "squashed" else 1))
    inputs = sum(part.size for part in parts)
    if (described[0][1], outputs) != (inputs, wanted):
        raise SettingError(
            f"the model maps {described[0][1]} numbers to {outputs}, here it must be {inputs} to {wanted}"
        )
    return policy


def _begin(model: BaseAlgorithm, game: Game[Any], role: str, policy: Policy) -> None:
    """Give a model the weights of a frozen policy; what it only needs to learn, such as a critic, begins anew.

    Raises:
        SettingError: it has other layers, or acts in another way.
    """
    images = bool(policy.encoders)
    own = freeze(model, game, role, images)
    if own.describe() != policy.describe():
        raise SettingError(f"a policy with {policy.describe()} cannot begin with one of {own.describe()}")
    layers, log_std, _ = _layers(model)
    if images:
        _reader(model).encoders.load_state_dict(policy.encoders.state_dict())
    with torch.no_grad():
        for layer, given in zip(layers, policy.body, strict=True):
            layer.load_state_dict(given.state_dict())
        if log_std is not None and policy.log_std is not None:
            log_std.copy_(policy.log_std)
        actor: Any = getattr(model.policy, "actor", None)
        if hasattr(actor, "latent_pi"):
            for part, (weight, bias) in zip(
                (actor.mu, actor.log_std),
                zip(layers[-1].weight.chunk(2), layers[-1].bias.chunk(2), strict=True),  # type: ignore[operator]
                strict=True,
            ):
                part.weight.copy_(weight)
                part.bias.copy_(bias)
        for name, target in (("actor", "actor_target"), ("q_net", "q_net_target")):
            if getattr(model.policy, target, None) is not None:
                getattr(model.policy, target).load_state_dict(getattr(model.policy, name).state_dict())


def architecture(game: Game[Any], role: str, recipe: LearningRecipe) -> dict[str, Any]:
    """Arguments of the policy of stable-baselines3 that a recipe asks for."""
    if not recipe.images:
        return {"net_arch": list(recipe.net)}
    parts = parts_of(game.observation_space(role), images=True)
    return {
        "net_arch": list(recipe.net),
        "features_extractor_class": Reader,
        "features_extractor_kwargs": {"parts": parts},
        "normalize_images": False,
    }


def _reader(model: BaseAlgorithm) -> Any:
    """The features that the acting part of a model reads."""
    policy: Any = model.policy
    owner = next(part for part in (getattr(policy, "actor", None), getattr(policy, "q_net", None), policy) if part)
    return owner.features_extractor


def _layers(model: BaseAlgorithm) -> tuple[list[nn.Module], Tensor | None, HeadKind]:
    """(layers from features to the head, log standard deviation, kind of head) of what the algorithm acts by."""
    policy: Any = model.policy
    if hasattr(policy, "mlp_extractor"):
        layers, log_std = [*policy.mlp_extractor.policy_net, policy.action_net], getattr(policy, "log_std", None)
        if log_std is not None:
            return layers, log_std.detach(), "gaussian"
        return layers, None, "categorical"
    if hasattr(policy, "q_net"):
        return list(policy.q_net.q_net), None, "greedy"
    actor = policy.actor
    if hasattr(actor, "latent_pi"):
        made = torch.nn.utils.skip_init  # which draws nothing
        both: nn.Linear = made(nn.Linear, actor.mu.in_features, 2 * actor.mu.out_features)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            both.weight.copy_(torch.cat([actor.mu.weight, actor.log_std.weight]))
            both.bias.copy_(torch.cat([actor.mu.bias, actor.log_std.bias]))
        return [*actor.latent_pi, both], None, "squashed"
    *layers, last = actor.mu
    if not isinstance(last, nn.Tanh):
        raise SettingError(f"an actor that ends in {last} cannot be frozen")
    return layers, None, "deterministic"


def _described(layer: nn.Module) -> list[Any]:
    if isinstance(layer, nn.Linear):
        return ["linear", int(layer.in_features), int(layer.out_features)]
    for name, kind in (("tanh", nn.Tanh), ("relu", nn.ReLU)):
        if isinstance(layer, kind):
            return [name]
    raise SettingError(f"a policy with the layer {layer} cannot be frozen")


@contextmanager
def _isolated_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators that stable-baselines3 draws from, and leave them afterwards as they were."""
    numbers, plain = np.random.get_state(), random.getstate()
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        try:
            set_random_seed(seed, using_cuda=cuda)
            yield
        finally:
            np.random.set_state(numbers)
            random.setstate(plain)


class _Watch(BaseCallback):
    """Tells of steps and payoffs after every round of learning."""

    def __init__(self, told: Told | None) -> None:
        super().__init__()
        self._told = told

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self._told is not None:
            paid = [info["r"] for info in self.model.ep_info_buffer or ()]
            self._told(self.num_timesteps, float(safe_mean(paid)))
