r"""# Negotiation

Two sides talk about how to divide books, hats and balls, which each values in its own way, and then choose; one of
them may be adversarial (the game of Lewis et al., "Deal or No Deal? End-to-End Learning for Negotiation Dialogues",
2017, as in the robustness thesis, section 3.2).

| Creation | `negotiation_v0.env()`, `pettingzoo.make("aec", "advgames/negotiation-v0")` |
|---|---|
| Agents | `attacker_0`, `defender_0` |
| Parallel API | none: they speak in turn |
| Actions | discrete with a mask, by default; words, or strings |
| Action shape | `Discrete`, `MultiDiscrete (1 + max_words,)` or `Text` |
| Observations | `Dict` of the items, one's own values, the dialogue so far, and the mask |
| Rewards | general-sum: 0 to 10 to each side, at the end |
| Episode | at most `max_turns` utterances, then the choices |

### A match

1. There are 5 to 7 pieces of three kinds. What a piece is worth to a side is its own secret; all of them are worth 10
   to each side, and no kind is worthless to both.
2. The sides speak in turn, `first` before the other: they offer to take some pieces, ask, tell, insist, accept. Nothing
   binds, claims need not be true.
3. Somebody ends the talk, or `max_turns` do. Now both choose what they take, without seeing the other's choice. If the
   choices fit together (each piece goes to one of them), each receives the value of its pieces; else each what it
   gets for walking away. With `ending="accept"` there is no choosing: who accepts the last offer makes it the deal.

With `adversarial=True` the attacker takes what the defender's choice leaves: they always agree, and the question is
how well the attacker talks the defender into a bad choice.

### Action space

| `actions`, `unit` | Space | Meaning |
|---|---|---|
| `"acts"` | `Discrete(289)` | an act while there is talk, then a choice (below) |
| `"tokens"`, `"word"` | `Discrete(words + 126)` | a word; past the words a choice |
| `"tokens"`, `"utterance"` | `MultiDiscrete (1 + max_words,)` | a choice (125 in talk), then words, then `<pad>` |
| `"text"` | `Text` | `"i want 2 hats"`, `"deal"`, ...; then `"1 book and 2 hats"` or `"no deal"` |

| Act | Meaning |
|---|---|
| 0 | pass |
| 1 + split | propose to take this split |
| 126, 127, 128 | insist on one's last offer, accept the other's, ask what it wants |
| 129 + 11 item + value | tell what a piece of item 0, 1 or 2 is worth to oneself |
| 162 | end the talk |
| 163 + split, 288 | choose this split, choose no deal |

A split is the number `25 books + 5 hats + balls` of what one takes oneself. Where an action is one number,
`observation["action_mask"]` says exactly which are legal (int8, PettingZoo's convention:
`env.action_space(agent).sample(observation["action_mask"])`). What is not legal raises `ActionError` and leaves the
environment as it was (`illegal="error"`), or ends the dialogue with the outcome "illegal" (`illegal="outcome"`).
In `gym_env` the mask stands in `info["action_mask"]`, and there and in `sb3_env` `action_masks()` tells it, so that a
policy trained on one plays on the other. `gym_env` and `sb3_env` have the outcome, since learners without masks try
what they like; so has `"text"`, where any string is an action, and one that cannot be read an illegal one.

In `env` nobody ever needs to pass. In `vector_env` matches end at different times: those that wait or have ended
pass until all have (`env.active(agent)` says who moves, the mask allows nothing else elsewhere). `sb3_env` passes by
itself, and its rows are all done together.

### Observation space

| Key | Space | Meaning |
|---|---|---|
| `counts` | `MultiDiscrete (3,)` | books, hats and balls there are |
| `own_values` | `MultiDiscrete (3,)` | what one of each is worth to the observer |
| `to_do` | `Discrete(3)` | 0 nothing, 1 speak, 2 choose |
| `progress` | `Box (1,)` | utterances so far, over `max_turns` |
| `action_mask` | `MultiBinary` | in `env` and `vector_env`, where an action is one number: which are legal |

and, where actions are acts,

| Key | Space | Meaning |
|---|---|---|
| `kinds` | `MultiDiscrete (max_turns,)` | of acts: 0 none yet, 2 propose, 3 insist, 4 accept, 5 ask, 6 inform, 7 end |
| `mine` | `MultiDiscrete (max_turns,)` | whether they were the observer's |
| `offers` | `Box (max_turns, 3)` | what the observer would get of what was offered, -1 where nothing was |
| `claims` | `MultiDiscrete (3,)` | what the other side said a piece is worth to it: 0 nothing, else 1 + the value |
| `own_offer`, `other_offer` | `MultiDiscrete (3,)` | what it would get by each side's last: 0 none, else 1 + pieces |
| `offers_worth` | `Box (2,)` | what these are worth to it, -1 where there is none |

or, where they are words or texts,

| Key | Space | Meaning |
|---|---|---|
| `words` | `MultiDiscrete` | the dialogue as numbers of the vocabulary; `YOU:` opens one's own utterances |
| `length` | `MultiDiscrete (1,)` | words in it |
| `text` | `Text` | with `actions="text"`: all of this as a person reads it, and what is asked now |

The other side's values are in no observation. What the settings grant beyond that is `env.unwrapped.access(agent)`:
with `access_attacker="white-box"` the target's model and its goal.

### Rewards

Each side is paid once, when the match ends: its score (`payoff="score"`), the value of what it gets times `discount`
for every turn after the second, or `walk_away_attacker` and `walk_away_defender` without an agreement; or its score
minus the other's (`payoff="advantage"`).

Agreement, scores, Pareto efficiency, distances to the Nash and Kalai-Smorodinsky points, untrue claims and more are in
`env.unwrapped.measures()` and in the `info` of the final step; what does not apply to a match is left out there.

### Rendering

`render_mode="ansi"`: `env.render()` returns the dialogue as a person reads it, with both sides' values, the choices and
the scores. `render_mode="human"` prints it as it grows.

### Arguments

`env`, `raw_env`, `gym_env`, `vector_env` and `sb3_env` take, beside their own arguments, a `task` (`"bargains"`,
embedded; `"deal-or-no-deal"`, read from data files), `data_root`, `dtype`, `device`, and the settings of
`advgames.games.NegotiationSettings`:

| Argument | Meaning |
|---|---|
| `actions`, `unit`, `illegal`, `ending`, `adversarial` | as above |
| `grammar` | whether every utterance must parse as an act; default: yes, except for `"tokens"` |
| `max_turns`, `max_words` | utterances of a dialogue, and words of an utterance, at most |
| `at_limit` | what the last of these turns is followed by where nobody ended the talk: `"choices"`, or `"walk-away"` |
| `first` | `"attacker"`, `"defender"` or `"random"`: who speaks first |
| `payoff`, `walk_away_attacker`, `walk_away_defender`, `discount` | as above |
| `access_attacker`, `target` | what the attacker may know, and of which model |
| `scenarios` | a file of scenarios in the format of the published `selfplay.txt` |
| `max_cycles`, `render_mode` | as elsewhere; a round is a turn of each side, the choices are the last one |

### Usage

Two players at random, by their masks:

```python
from advgames.envs import negotiation_v0

env = negotiation_v0.env(render_mode="human")
env.reset(seed=0)
for agent in env.agent_iter():
    observation, reward, terminated, truncated, info = env.last()
    over = terminated or truncated
    env.step(None if over else env.action_space(agent).sample(observation["action_mask"]))
print(info["measures"])
```

A learner against a scripted negotiator (MaskablePPO comes with the extra `rl`; `sb3_env` is the batched form, which
stable-baselines3's `VecMonitor` gives episode statistics):

```python
from advgames.envs import negotiation_v0
from sb3_contrib import MaskablePPO

env = negotiation_v0.gym_env("attacker", opponents="conceding", ending="accept")
model = MaskablePPO("MultiInputPolicy", env, n_steps=64, gamma=1.0).learn(128)
observation, info = env.reset(seed=0)
action, _ = model.predict(observation, action_masks=env.action_masks())
observation, reward, terminated, truncated, info = env.step(action)
```

Batched, torch in and torch out, until all 64 matches have ended:

```python
from advgames.agents import Scripted
from advgames.envs import negotiation_v0

env = negotiation_v0.vector_env(64)
env.reset(seed=0)  # matches 0 to 63
players, info = {"attacker_0": Scripted("stubborn"), "defender_0": Scripted("fair")}, {}
while not info:
    actions = {agent: env.move(agent, players[agent]) for agent in env.movers}
    observations, rewards, terminated, truncated, info = env.step(actions)
print(env.game.measures(info["final_state"])["agreement"].mean())
```

In words, as a language model would play:

```python
from advgames.envs import negotiation_v0

env = negotiation_v0.gym_env("attacker", opponents="fair", actions="text", first="attacker")
observation, info = env.reset(seed=0)
print(observation["text"])
for text in ("I want 2 hats and 1 book, please!", "<selection>", "1 book 2 hats"):
    observation, reward, terminated, truncated, info = env.step(text)
print(observation["text"])
```

### Version history

* v0: initial version (0.3.0)
"""

from __future__ import annotations

from advgames.envs.factory import Faces
from advgames.games import NegotiationGame

__all__ = ["env", "gym_env", "parallel_env", "raw_env", "sb3_env", "vector_env"]

_faces = Faces("negotiation_v0", NegotiationGame, learner={"illegal": "outcome"})

env = _faces.env
raw_env = _faces.raw_env
parallel_env = _faces.parallel_env
gym_env = _faces.gym_env
vector_env = _faces.vector_env
sb3_env = _faces.sb3_env
