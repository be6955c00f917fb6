"""Best responses by reinforcement learning: a policy of stable-baselines3 trained in one seat, then frozen."""

from __future__ import annotations

import copy
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from advgames import rng
from advgames.agents.learned import Manifest, RLLevelK
from advgames.agents.pool import Pool
from advgames.agents.views import View
from advgames.errors import MissingExtraError, SettingError, UnknownNameError, UnsupportedFormError
from advgames.games import Classes, Game, Text
from advgames.games.spaces import MASK
from advgames.training.play import versions

if TYPE_CHECKING:
    from advgames.envs.players import Opponents, Player

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "LearningRecipe",
    "best_response",
    "from_sb3",
    "prepared",
    "respond",
    "try_learning",
    "try_out",
    "usual_options",
]

Told = Callable[[int, float], object]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of stable-baselines3 or sb3-contrib.

    Attributes:
        package: where its class lives.
        choices: whether it can choose among numbers.
        points: whether it can act by real numbers.
        off_policy: whether it learns from a memory of transitions.
        masked: whether it rules out illegal actions.
    """

    package: str
    choices: bool
    points: bool
    off_policy: bool = False
    masked: bool = False


ALGORITHMS = {
    "PPO": Algorithm("stable_baselines3", choices=True, points=True),
    "A2C": Algorithm("stable_baselines3", choices=True, points=True),
    "MaskablePPO": Algorithm("sb3_contrib", choices=True, points=False, masked=True),
    "DQN": Algorithm("stable_baselines3", choices=True, points=False, off_policy=True),
    "SAC": Algorithm("stable_baselines3", choices=False, points=True, off_policy=True),
    "TD3": Algorithm("stable_baselines3", choices=False, points=True, off_policy=True),
}


@dataclass(frozen=True)
class LearningRecipe:
    """How a policy learns.

    Attributes:
        algorithm: one of :data:`ALGORITHMS`.
        steps: decisions of the learner, over all matches; rounded up to whole rounds of learning.
        num_games: matches that are played at once.
        seed: of the policy's first weights, its exploration, and the matches. The matches' seeds are hashed from it:
            the small ones, by which players are usually compared, are not among them.
        net: sizes of the hidden layers.
        options: of the algorithm, in place of :func:`usual_options`.
        tensorboard: folder for learning curves.
        view: what the learner sees and does; None: as the game has it.
        images: read minibatches of images through a small CNN; else they are numbers like all others.
        start: a policy of the same algorithm, layers and seat, with whose weights it begins; None: with its own.
    """

    algorithm: str = "PPO"
    steps: int = 100_000
    num_games: int = 64
    seed: int = 0
    net: tuple[int, ...] = (64, 64)
    options: Mapping[str, Any] = field(default_factory=dict)
    tensorboard: str | None = None
    view: View | None = None
    images: bool = False
    start: RLLevelK | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.algorithm, str):
            raise SettingError(f"algorithm is one of the names {', '.join(ALGORITHMS)}, got {self.algorithm!r}")
        if self.algorithm not in ALGORITHMS:
            raise UnknownNameError("algorithm", self.algorithm, ALGORITHMS)
        if not isinstance(self.net, tuple | list):
            raise SettingError(f"net is the sizes of the hidden layers, such as (64, 64), got {self.net!r}")
        try:
            whole = {name: operator.index(getattr(self, name)) for name in ("steps", "num_games", "seed")}
            for name, value in {**whole, "net": tuple(map(operator.index, self.net))}.items():
                object.__setattr__(self, name, value)  # as Python's own numbers
        except TypeError as error:
            raise SettingError(f"steps, num_games, seed and net are whole numbers, got {self}") from error
        if not isinstance(self.options, Mapping):
            raise SettingError(f"options map names to values, got {self.options!r}")
        if min(self.steps, self.num_games, *self.net) < 1 or self.seed < 0:
            raise SettingError(f"steps, num_games and net must be positive, and seed not negative, got {self}")
        for name, made, kind in (("view", self.view, View), ("start", self.start, RLLevelK)):
            if made is not None and not isinstance(made, kind):
                raise SettingError(f"{name} must be a {kind.__name__}, got {made!r}")

    @property
    def first_match(self) -> int:
        """The seed of the first match."""
        return int(rng.bits(rng.seed_tensor([self.seed]), "best response", 0, ())) & (2**62 - 1)


def best_response(
    game: Game[Any],
    role: str,
    opponents: Opponents,
    algorithm: str = "PPO",
    steps: int = 100_000,
    *,
    level: int = 1,
    told: Told | None = None,
    **recipe: Any,
) -> RLLevelK:
    """Train a policy against frozen opponents, and freeze it.

    Args:
        game: the rules, and all settings.
        role: the learner's seat.
        opponents: who plays the other seats: an agent, its name, or a mapping from players to these; None does nothing.
            Of a :class:`~advgames.agents.Pool` a member is drawn for every match.
        algorithm, steps, recipe: as in :class:`LearningRecipe`.
        level: what to record as its level.
        told: called with the steps so far and the mean payoff of the last 100 matches, after every round of learning.

    Raises:
        UnknownNameError, SettingError, AccessError, UnsupportedFormError, MissingExtraError: before anything is
            trained: no such seat or algorithm, one that cannot act in this game, an opponent that cannot play it.
        SettingError: later, if learning fails by the options it was given.
    """
    return respond(game, role, opponents, LearningRecipe(algorithm, steps, **recipe), level, told)


def respond(
    game: Game[Any],
    role: str,
    opponents: Opponents,
    recipe: LearningRecipe,
    level: int = 1,
    told: Told | None = None,
) -> RLLevelK:
    """:func:`best_response` by a recipe."""
    seen, players, manifest = prepared(game, role, opponents, recipe, level)
    from advgames.training.sb3 import train

    policy, taken = train(seen, manifest.role, players, recipe, told)
    met = {
        player: {repr(agent.agents[n]): count for n, count in sorted(agent.met.items())}
        for player, agent in players.items()
        if isinstance(agent, Pool)
    }
    return RLLevelK(policy, manifest.model_copy(update={"steps": taken, "met": met}))


def prepared(
    game: Game[Any], role: str, opponents: Opponents, recipe: LearningRecipe, level: int = 1
) -> tuple[Game[Any], dict[str, Player | None], Manifest]:
    """(the game as the learner sees it, who sits in the other seats, the manifest) of a training that can begin.

    Raises:
        UnknownNameError, SettingError, AccessError, UnsupportedFormError, MissingExtraError: it cannot, see
            :func:`best_response`.
    """
    try:
        import stable_baselines3  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "learning needs the extra 'rl': pip install '.[rl]' in the folder of advgames"
        ) from error
    from advgames.envs.naming import Names  # here, since the ecosystem's libraries come with it
    from advgames.envs.players import seat_opponents
    from advgames.envs.viewed import ViewedGame

    names = Names(game.players)
    role = names.player(role)
    players = seat_opponents(opponents, role, names)
    seen = game if recipe.view is None else ViewedGame(game, role, recipe.view)
    _check(game, seen, role, recipe)
    manifest = _manifest(game, role, recipe.algorithm, recipe.view, level).model_copy(
        update={
            "opponents": ", ".join(f"{player}: {agent!r}" for player, agent in players.items()),
            "options": dict(recipe.options),
            "seed": recipe.seed,
        }
    )
    try_out(game, players)
    return seen, players, manifest


def from_sb3(
    model: Any, game: Game[Any], role: str, *, view: View | None = None, level: int = 1, deterministic: bool = False
) -> RLLevelK:
    """A model that was trained with stable-baselines3 itself, on an environment of the game, as a player.

    Args:
        model: of one of :data:`ALGORITHMS`, with layers that are linear, tanh or ReLU.
        game, role: what it plays, where.
        view: what it sees and does, if it learned through one.
        level: what to record as its level.
        deterministic: as in :class:`~advgames.agents.RLLevelK`.

    Raises:
        UnknownNameError: no such seat, or algorithm.
        SettingError: the model was trained on other observations or actions, on ``VecNormalize``, or has layers or a
            features extractor of another kind.
    """
    from advgames.envs.naming import Names
    from advgames.envs.viewed import ViewedGame
    from advgames.training.sb3 import freeze

    if not isinstance(view, View | None):
        raise SettingError(f"view must be a View, got {view!r}")
    role, name = Names(game.players).player(role), type(model).__name__
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, ALGORITHMS)
    policy = freeze(model, game if view is None else ViewedGame(game, role, view), role)
    manifest = _manifest(game, role, name, view, level).model_copy(update={"steps": int(model.num_timesteps)})
    return RLLevelK(policy, manifest, deterministic)


def _manifest(game: Game[Any], role: str, algorithm: str, view: View | None, level: int) -> Manifest:
    """What a player's file says of the game and the seat it learned in."""
    if not isinstance(level, int) or level < 0:
        raise SettingError(f"a level is a whole number, 0 or above, got {level!r}")
    return Manifest(
        game=game.name,
        task=str(getattr(getattr(game, "task", None), "name", "")),
        settings=game.settings.model_dump(mode="json", exclude_none=True) if hasattr(game, "settings") else {},
        role=role,
        kind=game.access(game.reset([0]), role).kind,
        level=level,
        algorithm=algorithm,
        masked=ALGORITHMS[algorithm].masked,
        view=None if view is None else View.build(view.describe()).describe(),
        versions=versions() | {name: metadata.version(name) for name in ("stable_baselines3", "sb3_contrib")},
    )


def try_learning(game: Game[Any], role: str, opponents: Opponents, recipe: LearningRecipe) -> None:
    """Whether a training could begin: also whether its algorithm takes the options, and its policy could be frozen.

    Raises:
        UnknownNameError, SettingError, AccessError, UnsupportedFormError, MissingExtraError: it cannot, see
            :func:`best_response`.
    """
    seen, players, manifest = prepared(game, role, opponents, recipe)
    from advgames.training.sb3 import try_build

    try_build(seen, manifest.role, copy.deepcopy(players), recipe)


def usual_options(recipe: LearningRecipe) -> dict[str, Any]:
    """What this suite chooses of an algorithm's options: payoffs are summed, not discounted; one round of learning is
    about 2,048 decisions on policy, and one transition of each match off policy."""
    games = recipe.num_games
    if ALGORITHMS[recipe.algorithm].off_policy:
        begin = min(1_000, max(recipe.steps // 10, games))
        return {"gamma": 1.0, "train_freq": 1, "gradient_steps": max(1, games // 8), "learning_starts": begin}
    if recipe.algorithm == "A2C":
        return {"gamma": 1.0}
    length = max(8, 2_048 // games)
    return {"gamma": 1.0, "n_steps": length, "batch_size": max(2, length * games // 8)}


#: what a recipe says by fields of its own
_TAKEN = ("policy", "env", "seed", "device", "tensorboard_log", "policy_kwargs")


def _check(rules: Game[Any], game: Game[Any], role: str, recipe: LearningRecipe) -> None:
    """Refuse a recipe that cannot learn to act in the game as its view shows it, or whose result could not be kept."""
    name, made, space = recipe.algorithm, ALGORITHMS[recipe.algorithm], game.action_space(role)
    if isinstance(space, Text):
        raise UnsupportedFormError(f"{name} cannot learn where moves are texts")
    choices = isinstance(space, Classes)
    fitting = [other for other, a in ALGORITHMS.items() if (a.choices if choices else a.points)]
    if name not in fitting:
        raise SettingError(f"{name} cannot act in {space}; {', '.join(fitting)} can")
    if isinstance(space, Classes) and space.shape:
        raise UnsupportedFormError(f"{name} makes one choice at a time, not {space.shape[0]}: use a view of acts")
    masked = MASK in game.observation_space(role)
    if made.masked and not masked:
        raise SettingError(f"{name} needs a mask of legal actions, which {game.name} has none of; PPO needs none")
    illegal = getattr(getattr(game, "settings", None), "illegal", None)
    under_rules = MASK in rules.observation_space(role)  # there a setting says what an illegal move does; not in views
    if not made.masked and (illegal == "error" if under_rules else masked):
        raise SettingError(f"{name} tries illegal moves, which end in errors here: MaskablePPO, or illegal='outcome'")
    if taken := sorted(set(recipe.options) & set(_TAKEN)):
        raise SettingError(f"options: {taken[0]!r} is not an option here: the recipe has fields for these")
    try:
        json.dumps(dict(recipe.options), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingError(f"options: {error}; options are plain values, which the player's file can hold") from error


def try_out(game: Game[Any], players: Mapping[str, Player | None]) -> None:
    """One round by copies of some players, so that who cannot play is found out before anything is trained.

    Raises:
        SettingError, AccessError: one cannot.
    """
    from advgames.envs.players import Hands

    players = copy.deepcopy(players)
    state, hands = game.reset([0]), Hands(game)
    for player, agent in players.items():
        if agent is not None:
            hands.begin(state, player, agent)
    while not game.over(state) and state.round == 0:
        moves = {player: hands.move(state, player, players.get(player)) for player in game.movers(state)}
        state, _, _ = game.step(state, moves)
