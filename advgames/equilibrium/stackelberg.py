"""Strong Stackelberg equilibria of two-player tables: the leader commits, the follower answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from advgames.equilibrium.linear_program import maximise
from advgames.equilibrium.tables import Array, as_table, normalised, rounded_mix
from advgames.errors import AdvgamesError, SettingError, UnknownNameError

__all__ = ["Commitment", "StackelbergSolution", "solve_stackelberg"]

Commitment = Literal["pure", "mixed"]

TIE = 1e-12  # payoffs closer than this, in units of their range, are equal: means differ by rounding


@dataclass(frozen=True)
class StackelbergSolution:
    """What the leader commits to, what the follower answers, and what both receive.

    Attributes:
        leader_mix: the leader's commitment; one entry is 1 where it is pure.  # (k,)
        response: index of the follower's pure answer, a best response to ``leader_mix`` up to rounding.
        leader_value: the leader's expected payoff.
        follower_value: the follower's expected payoff.
        commitment: "pure" or "mixed".
        response_name: the answer's name where the game has names.
    """

    leader_mix: Array
    response: int
    leader_value: float
    follower_value: float
    commitment: Commitment
    response_name: str | None = None


def solve_stackelberg(
    leader_payoff: ArrayLike, follower_payoff: ArrayLike, commitment: Commitment = "pure"
) -> StackelbergSolution:
    """The strong Stackelberg equilibrium: the follower best-responds, and breaks ties in the leader's favour.

    "pure" is the paper's sequential game (stackelberg.txt, section 3), by enumeration:
        max_i L(i, f(i)),  f(i) in argmax_j F(i, j).
    With "mixed" the leader randomises, and the follower sees the distribution but not the draw; one linear
    program per follower strategy j (Conitzer and Sandholm 2006), of which the best counts:
        max_x sum_i x_i L_ij  subject to  sum_i x_i F_ij >= sum_i x_i F_ik for all k,  x a mix.
    In zero-sum games "mixed" gives the leader its Nash value, whoever leads. Where several commitments are
    equally good, the first in the order of the table is returned.

    Args:
        leader_payoff: the leader's payoffs L, its strategies in rows.  # (k, l)
        follower_payoff: the follower's payoffs F, in the same layout.  # (k, l)
        commitment: "pure" or "mixed".

    Raises SettingError if a table is not one or the shapes differ; UnknownNameError for an unknown
    commitment.
    """
    leader = as_table(leader_payoff, "leader payoffs")
    follower = as_table(follower_payoff, "follower payoffs")
    if leader.shape != follower.shape:
        raise SettingError(f"follower payoffs: expected shape {leader.shape}, got {follower.shape}")
    if commitment not in get_args(Commitment):
        raise UnknownNameError("commitment", commitment, get_args(Commitment), where="solve_stackelberg")
    mix, response = _pure(leader, follower) if commitment == "pure" else _mixed(leader, follower)
    leader_value, follower_value = mix @ leader[:, response], mix @ follower[:, response]
    return StackelbergSolution(mix, response, float(leader_value), float(follower_value), commitment)


def _pure(leader: Array, follower: Array) -> tuple[Array, int]:
    """The best single strategy for the leader, as a mix (k,), and the follower's answer."""
    best = follower.max(axis=1, keepdims=True)
    answers = follower >= best - TIE * np.ptp(follower)
    worth = np.where(answers, leader, -np.inf)
    response = worth.argmax(axis=1)
    choice = int(worth.max(axis=1).argmax())
    return np.eye(len(leader))[choice], int(response[choice])


def _mixed(leader: Array, follower: Array) -> tuple[Array, int]:
    """The best distribution for the leader (k,) and the follower's answer; one linear program per answer."""
    gains, _ = normalised(leader)
    scaled, _ = normalised(follower)
    best: tuple[float, Array, int] | None = None
    for response in range(leader.shape[1]):
        regret = (scaled - scaled[:, [response]]).T  # row k: the follower's gain by k instead of the response
        solution = maximise(gains[:, response], regret, np.zeros(len(regret)), len(leader))
        if solution is None:
            continue  # no commitment makes this answer a best response
        mix = rounded_mix(solution.point)
        worth = float(mix @ gains[:, response])
        if best is None or worth > best[0] + TIE:
            best = worth, mix, response
    if best is None:
        raise AdvgamesError("HiGHS finds no answer a best response to any commitment, though one always is")
    return best[1], best[2]
