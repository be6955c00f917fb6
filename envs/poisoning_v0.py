r"""# Poisoning

An attacker perturbs every minibatch on which a model trains; a defender repairs it before the model learns from it
(R2T2: Chen et al., "Recursive Reasoning-Based Training-Time Adversarial Machine Learning", section 3).

| Creation | `poisoning_v0.env()`, `pettingzoo.make("aec", "advgames/poisoning-v0")` |
|---|---|
| Agents | `attacker_0`, then `defender_0` |
| Parallel API | No: the defender sees what the attacker did |
| Actions | continuous, a perturbation of norm at most 1 for every input of the minibatch |
| Action shape | `(batch_size, *input_shape)`, float32 |
| Observations | `Dict` of inputs, labels, progress and validation loss |
| Rewards | zero-sum: the increase of the validation loss |
| Episode | `iterations` rounds |

### A round

1. A minibatch `x` with labels `y` is drawn.
2. `attacker_0` submits `delta`; the inputs become `x' = x + epsilon_attacker * delta`, kept in their valid range.
3. `defender_0`, who sees `x'` and never `x`, submits `sigma`; they become `x'' = x' + epsilon_defender * sigma`,
   kept in range again.
4. The victim takes one optimiser step on the mean loss of `(x'', y)`.

### Action space

A `Ball`: an array of the minibatch's shape in which every input's perturbation has norm at most 1 (`norm="l2"` or
`"linf"`), in units of the radius. `action_space(agent).sample()` lies in it; zeros are always legal. Nothing is
clipped: an array of another shape or dtype, with NaN, or beyond norm 1 raises `ActionShapeError`, `ActionDtypeError`,
`NonFiniteActionError` or `RadiusExceededError`, and the environment stays as it was, the same agent to move.

### Observation space

| Key | Space | Meaning |
|---|---|---|
| `inputs` | `Box (batch_size, *input_shape)` | the attacker's: `x`; the defender's: `x'`, zeros before there is one |
| `labels` | `MultiDiscrete (batch_size,)`, or `Box` for regression | of the minibatch |
| `progress` | `Box (1,)` | rounds played, over the horizon |
| `validation_loss` | `Box (1,)` | mean loss of the present model on the validation set |

`state()` is all agents' observations as one vector. What the threat model grants beyond that (the model, its
gradients, the validation set) is `env.unwrapped.access(agent)`. Test accuracy is shown to no player: it is in
`env.unwrapped.measures()`, and in the `info` of the final step.

### Rewards

After the defender's move `attacker_0` receives U_t, the increase of the mean validation loss by this round's update,
and `defender_0` receives -U_t. Over an episode the attacker's rewards sum to the final validation loss minus the
initial one.

### Arguments

`env`, `raw_env`, `parallel_env`, `gym_env` and `vector_env` take, beside their own arguments, a `task` (`"digits"`,
`"linear-regression"`, `"mnist"`, ...), `data_root`, `dtype`, `device`, and the settings of
`advgames.games.PoisoningSettings`, whose defaults are the task's own:

| Argument | Meaning |
|---|---|
| `epsilon`, `epsilon_attacker`, `epsilon_defender` | radius of both players, or of one |
| `budget` | what the attacker's largest norms may add up to over all iterations, in input units |
| `payoff` | the increment of the validation `"loss"`, or of its logarithm, `"log-loss"` |
| `norm` | `"l2"` or `"linf"` |
| `batch_size`, `iterations`, `epochs` | minibatch, rounds (or passes over the training set) |
| `optimizer`, `learning_rate`, `momentum` | of the victim |
| `validation` | what the attacker reasons with: the `"known"` validation set or its own `"batch"` |
| `train_size`, `validation_size`, `test_size` | how much of the data to use |
| `max_cycles` | truncate after this many rounds |
| `render_mode` | `"rgb_array"`, or `"human"`: every round is drawn into a picture file, no display needed |

`reset(seed=s)` plays match `s`, the same in every face; `reset()` goes on with seeds derived from the last one given.

### Usage

AEC, with two gradient agents (any object with `reset(access)` and `act(observation, access)` joins the same way; any
array of the action space may be submitted instead of `move`):

```python
from advgames.agents import LevelK
from advgames.envs import poisoning_v0

env = poisoning_v0.env(task="digits", epsilon=1.3, iterations=5)
env.reset(seed=0)
players = {"attacker_0": LevelK(1), "defender_0": LevelK(1)}
for name in env.agent_iter():
    observation, reward, terminated, truncated, info = env.last()
    env.step(None if terminated or truncated else env.unwrapped.move(players[name]))
print(env.unwrapped.measures())
```

Gymnasium, for one learner. Policies of learning libraries act in a box, so by default `gym_env` plays the nearest legal
perturbation to theirs (`project_actions=False` declares the ball itself):

```python
from advgames.envs import poisoning_v0

env = poisoning_v0.gym_env("defender", opponents="level-1", task="digits", batch_size=20, iterations=5)
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
```

Batched, torch in and torch out; each step is one phase:

```python
from advgames.agents import LevelK
from advgames.envs import poisoning_v0

env = poisoning_v0.vector_env(4, device="cpu", task="linear-regression", iterations=5)
observations = env.reset(seed=0)  # matches 0 to 3
players = {"attacker_0": LevelK(2), "defender_0": LevelK(1)}
for _ in range(10):
    actions = {agent: env.move(agent, players[agent]) for agent in env.movers}
    observations, rewards, terminated, truncated, info = env.step(actions)
```

### Version history

* v0: initial version (0.1.0)
"""

from __future__ import annotations

from advgames.envs.factory import Faces
from advgames.games import PoisoningGame

__all__ = ["env", "gym_env", "parallel_env", "raw_env", "sb3_env", "vector_env"]

_faces = Faces("poisoning_v0", PoisoningGame)

env = _faces.env
raw_env = _faces.raw_env
parallel_env = _faces.parallel_env
gym_env = _faces.gym_env
vector_env = _faces.vector_env
sb3_env = _faces.sb3_env
