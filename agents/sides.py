"""Players who can only attack, or only defend, inputs of a fixed victim."""

from __future__ import annotations

from typing import ClassVar

from advgames.access import PerturbationAccess
from advgames.agents.base import Agent
from advgames.errors import SettingError

__all__ = ["Attacker", "Defender"]


class _OneSided(Agent):
    """Base of both.

    Attributes:
        side: the sign of the seats it plays (:attr:`PerturbationAccess.sign`), and `does` what it does there.
    """

    side: ClassVar[float]
    does: ClassVar[str]

    def reset(self, access: PerturbationAccess) -> None:
        """Begin a batch of matches.

        Raises:
            AccessError: the access granted is below what the agent needs.
            SettingError: the seat is the other side's, or the game has no fixed victim.
        """
        super().reset(access)
        if access.sign != self.side:
            raise SettingError(f"{self!r} {self.does}: it cannot play the {access.player}")
        if not hasattr(access, "predict"):
            raise SettingError(f"{self!r} {self.does} a fixed victim, which this game does not have")


class Attacker(_OneSided):
    """Base of players that can only attack inputs of a fixed victim."""

    side, does = 1.0, "attacks"


class Defender(_OneSided):
    """Base of players that can only defend inputs of a fixed victim."""

    side, does = -1.0, "defends"
