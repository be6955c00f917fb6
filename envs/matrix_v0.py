r"""# Matrix game

Any payoff table, once or repeated: the smallest game of the suite, where everything can be compared with what is known.

| Creation | `matrix_v0.env()`, `pettingzoo.make("aec", "advgames/matrix-v0")` |
|---|---|
| Agents | `row_0`, `column_0` |
| Parallel API | with `order="simultaneous"`: `matrix_v0.parallel_env()` |
| Actions | discrete |
| Action shape | `Discrete(m)` for the row player, `Discrete(n)` for the column player |
| Observations | `Dict` of what was played in the round before, and progress |
| Rewards | the table's, zero-sum unless it says otherwise |
| Episode | `rounds` rounds |

### A round

Both players choose a strategy: `order="simultaneous"` at once, `"row-first"` and `"column-first"` in turn, where the
second sees what the first has chosen. A strategy that does not exist raises `ActionError`.

### Observation space

| Key | Space | Meaning |
|---|---|---|
| `own_last`, `other_last` | `Discrete` | 1 + the strategy of the round before, or 0: there was none |
| `other_now` | `Discrete` | who moves second: 1 + what the other has just played |
| `progress` | `Box (1,)` | rounds played, over `rounds` |

The table itself is known to both: `env.unwrapped.access(agent).payoff`.

### Rewards

A round pays what the table says, divided by `rounds`.

### Arguments

`env`, `raw_env`, `parallel_env`, `gym_env`, `vector_env` and `sb3_env` take, beside their own arguments, a `task`,
`dtype`, `device`, and the settings of `advgames.games.MatrixSettings`:

| Argument | Meaning |
|---|---|
| `task` | a table: its name, a `.csv` file, an array of the row player's payoffs, or a `PayoffTable` |
| `order`, `rounds` | as above |
| `max_cycles`, `render_mode` | as elsewhere |

Tables that have names: `"matching-pennies"`, `"biased-pennies"`, `"rock-paper-scissors"`,
`"biased-rock-paper-scissors"`, `"example-6.3"`, `"prisoners-dilemma"`, and `"random:20x20"` or `"random:20x20:SEED"`,
payoffs uniform in (0, 1]. `advgames.tasks.PayoffTable.of` makes others, with payoffs for both players.

### Usage

```python
from advgames.envs import matrix_v0

env = matrix_v0.parallel_env(task=[[3, -1], [-1, 1]], rounds=5, render_mode="ansi")
observations, infos = env.reset(seed=0)
while env.agents:
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    observations, rewards, terminations, truncations, infos = env.step(actions)
print(env.render())
```

A learner against a player of fixed probabilities:

```python
from advgames.agents import Mix
from advgames.envs import matrix_v0

env = matrix_v0.gym_env("row", opponents=Mix([0.2, 0.8]), task="matching-pennies")
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
```

### Version history

* v0: initial version (0.4.0)
"""

from __future__ import annotations

from advgames.envs.factory import Faces
from advgames.games import MatrixGame

__all__ = ["env", "gym_env", "parallel_env", "raw_env", "sb3_env", "vector_env"]

_faces = Faces("matrix_v0", MatrixGame)

env = _faces.env
raw_env = _faces.raw_env
parallel_env = _faces.parallel_env
gym_env = _faces.gym_env
vector_env = _faces.vector_env
sb3_env = _faces.sb3_env
