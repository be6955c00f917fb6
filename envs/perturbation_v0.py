r"""# Perturbation

An attacker and a defender add perturbations to the inputs of a trained classifier: the attacker wants its answer to
change, the defender wants it to stay (Pal & Vidal, "A Game Theoretic Analysis of Additive Adversarial Attacks and
Defenses", section 2).

| Creation | `perturbation_v0.env()`, `pettingzoo.make("aec", "advgames/perturbation-v0")` |
|---|---|
| Agents | `attacker_0`, `defender_0` |
| Parallel API | with `order="simultaneous"`: `perturbation_v0.parallel_env()` |
| Actions | continuous, perturbations of norm at most 1 |
| Action shape | attacker `(batch_size, *input_shape)`; defender `(1, *input_shape)`, or like the attacker's; float32 |
| Observations | `Dict` of inputs and progress, the attacker's of labels too |
| Rewards | zero-sum: +1 for an input whose class changes, -1 for one whose class does not, or a loss or margin |
| Episode | `rounds` minibatches |

### A round

1. A minibatch `x` of inputs is drawn, from the test set unless `split` says otherwise.
2. `attacker_0` submits `a`, a perturbation of each input, and `defender_0` submits `d`: one vector for all inputs
   (`defense="vector"`) or one of each (`defense="per-input"`). By `order`, they move `"simultaneous"`, or
   `"attacker-first"` (the defender sees `x' = x + epsilon_attacker * a`, and nothing else), or `"defender-first"`
   (the attacker sees `x + epsilon_defender * d`).
3. The victim, trained before and fixed now, classifies `x + epsilon_attacker * a + epsilon_defender * d`.

### Action space

A `Ball`: every perturbation has norm at most 1 (`norm="l2"` or `"linf"`), in units of the radius. Zeros are always
legal. Nothing is clipped: an array of another shape or dtype, with NaN, or beyond norm 1 raises `ActionShapeError`,
`ActionDtypeError`, `NonFiniteActionError` or `RadiusExceededError`, and the environment stays as it was. The perturbed
inputs are kept in their valid range where `clip` is on.

### Observation space

| Key | Space | Meaning |
|---|---|---|
| `inputs` | `Box (batch_size, *input_shape)` | `x`, or `x + d` once the defender has moved; the defender: see below |
| `labels` | `MultiDiscrete (batch_size,)` | the attacker alone: true classes |
| `progress` | `Box (1,)` | rounds played, over `rounds` |

The defender never sees labels. Moving second it sees `x'` (zeros before there is one). Moving first or at once, it
sees `x` where it answers per input; where it plays one vector for all inputs it sees other inputs from the same
source, since its action may not depend on what it is used on.

What the settings grant beyond that is `env.unwrapped.access(agent)`: the victim with its gradients (`"white-box"`), its
logits (`"soft-label"`) or the classes it answers (`"hard-label"`), queries counted. Accuracies are in
`env.unwrapped.measures()`, and in the `info` of the final step.

### Rewards

A round pays `attacker_0` the mean over the minibatch of the `payoff`, divided by `rounds`, and `defender_0` the
opposite: an episode's rewards add up to the mean payoff.

| `payoff` | of an input, to the attacker |
|---|---|
| `"flip"` | +1 if the victim's answer is no longer the `reference` class, else -1 |
| `"flip-linear"` | the same for the victim linearised around the clean input (eq. 1 of the paper) |
| `"loss"` | the cross-entropy |
| `"margin"` | the largest other logit minus that of the class |

`reference` is the victim's `"prediction"` on the clean input (the paper's, and the default of the two flip payoffs) or
the true `"label"` (the default of the other two).

### Arguments

`env`, `raw_env`, `parallel_env`, `gym_env` and `vector_env` take, beside their own arguments, a `task` (`"polygon"`,
`"digits"`, `"digits:0v1"`, `"mnist"`, `"mnist:3v5"`, ...), a `victim` (any trained torch module in place of the task's
own, or `"my_module:name"` of one), `data_root`, `dtype`, `device`, and the settings of
`advgames.games.PerturbationSettings`:

| Argument | Meaning |
|---|---|
| `order`, `defense`, `payoff`, `reference` | as above |
| `epsilon`, `epsilon_attacker`, `epsilon_defender` | radius of both players, or of one |
| `norm`, `clip` | `"l2"` or `"linf"`; whether inputs stay in their valid range |
| `rounds`, `batch_size` | minibatches per episode, inputs per minibatch |
| `split` | `"test"`, `"validation"` or `"train"`: where inputs come from |
| `access_attacker`, `access_defender` | `"white-box"`, `"soft-label"` or `"hard-label"` |
| `victim_seed`, `victim_epochs`, `victim_weights` | how the task's victim is trained, or its weights |
| `train_size`, `validation_size`, `test_size` | how much of the data to use |
| `max_cycles`, `render_mode` | as elsewhere |

A victim is trained once (digits: a few seconds) and kept in `~/.cache/advgames` (`ADVGAMES_CACHE` names another place).

### Usage

Both players at once, as a PettingZoo Parallel environment; in this seat an `advgames` agent, in that one yours:

```python
from advgames.agents import Smooth
from advgames.envs import perturbation_v0

env = perturbation_v0.parallel_env(task="polygon", payoff="flip-linear")
observations, infos = env.reset(seed=0)
smooth = Smooth()
while env.agents:
    actions = {"attacker_0": env.action_space("attacker_0").sample(), "defender_0": env.move("defender_0", smooth)}
    observations, rewards, terminations, truncations, infos = env.step(actions)
print(infos["attacker_0"]["measures"])
```

Gymnasium, for one learner against the equilibrium attack:

```python
from advgames.envs import perturbation_v0

env = perturbation_v0.gym_env("defender", opponents="fgm", task="polygon")
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
```

Batched, torch in and torch out:

```python
from advgames.agents import LevelK
from advgames.envs import perturbation_v0

env = perturbation_v0.vector_env(16, task="polygon", order="attacker-first", defense="per-input", rounds=3)
env.reset(seed=0)  # matches 0 to 15
players = {"attacker_0": LevelK(1), "defender_0": LevelK(1)}
for _ in range(6):
    actions = {agent: env.move(agent, players[agent]) for agent in env.movers}
    observations, rewards, terminated, truncated, info = env.step(actions)
```

### Version history

* v0: initial version (0.2.0)
"""

from __future__ import annotations

from advgames.envs.factory import Faces
from advgames.games import PerturbationGame

__all__ = ["env", "gym_env", "parallel_env", "raw_env", "sb3_env", "vector_env"]

_faces = Faces("perturbation_v0", PerturbationGame)

env = _faces.env
raw_env = _faces.raw_env
parallel_env = _faces.parallel_env
gym_env = _faces.gym_env
vector_env = _faces.vector_env
sb3_env = _faces.sb3_env
