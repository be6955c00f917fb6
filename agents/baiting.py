"""Adversaries that bait a trained negotiator (thesis section 3.2): transfer, reactive, preemptive, and mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from advgames.agents.dialogue import Observation
from advgames.agents.negotiators import NeuralNegotiator, allowed_words, beginning, ended, spread
from advgames.attacks.word_search import DecisionLoss, Found, Talks, Target, WordSearch, choice_gains
from advgames.dialogue.speech import turned
from advgames.errors import AccessError, DataFileError, SettingError
from advgames.games.negotiation_access import NegotiationAccess
from advgames.victims.negotiator import Negotiator

__all__ = ["ArbitraryTurn", "Preemptive", "Reactive", "Transfer"]

RELEASED = ("take book you get rest",)  # what the released program says in place of a list


class Adversary(NeuralNegotiator):
    """A negotiator that never ends the talk of its own accord: its regular speech leaves ``<selection>`` out."""

    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """Regular speech, (G, max_words)."""
        rows = beginning(access)
        return spread(self.regular(observation, access, rows, access.noise_seeds), rows, access)

    def regular(self, observation: Observation, access: NegotiationAccess, rows: Tensor, keys: Tensor) -> Tensor:
        """Regular speech of the matches at `rows`, (R, max_words), drawn by keys (G,)."""
        names = access.vocabulary
        any_word = allowed_words(access, rows)

        def going_on(said: Tensor, n: int) -> Tensor:
            allowed = any_word(said, n).clone()
            allowed[..., names.selection] = False
            return allowed

        return self.compose(observation, access, rows, keys, going_on)


class Transfer(Adversary):
    """Says a sentence that ended other dialogues well once some turns have passed (thesis section 3.2.2.2).

    Args:
        weights, temperature: of its regular speech, as for :class:`~advgames.agents.negotiators.NeuralNegotiator`.
        turns: own utterances before that.
        sentences: the list L, or a text file with one sentence a line.
    """

    def __init__(
        self,
        weights: str | Negotiator = "sv",
        temperature: float = 0.5,
        turns: int = 3,
        sentences: str | Sequence[str] = RELEASED,
    ) -> None:
        super().__init__(weights, temperature)
        if turns < 0:
            raise SettingError(f"turns must not be negative, got {turns}")
        self.turns, self.sentences = turns, sentences

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues.

        Raises:
            UnknownNameError: a sentence holds a word that the vocabulary does not.
        """
        super().reset(access)
        self._list = encoded(self.sentences, access)

    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """A random sentence of the list after its turns, else regular speech."""
        plugged = self._list[access.pick(len(self._list))]
        return torch.where((access.turn // 2 >= self.turns)[:, None], plugged, super().utter(observation, access))


class Baiter(Adversary):
    """Replaces words of its regular speech by what leads the target astray, whose model it knows.

    Args:
        weights, temperature: of its regular speech.
        loss: ``"gain"`` (the released program's) or ``"margin"`` (eq. 3.10).
        replacements: words replaced; the thesis replaces two.
        stop: margin of eq. 3.9.
        target_temperature: of the target's words, where it must be asked what it would reply.
        rows: candidates evaluated at once.
    """

    needs = "white-box"

    def __init__(
        self,
        weights: str | Negotiator = "sv",
        temperature: float = 0.5,
        loss: DecisionLoss = "gain",
        replacements: int = 2,
        stop: float = 0.0,
        target_temperature: float = 0.5,
        rows: int = 4096,
    ) -> None:
        super().__init__(weights, temperature)
        self.loss, self.replacements, self.stop, self.rows = loss, replacements, stop, rows
        self.target_temperature = target_temperature

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues.

        Raises:
            AccessError: the player is not granted the target's model, or words are held to a grammar.
        """
        super().reset(access)
        if access.sign < 0:
            raise AccessError(f"{self!r} attacks the defender, but sits in its seat")
        if access.settings.grammar:
            raise AccessError(f"{self!r} replaces words freely: play with the setting grammar=False")
        self._search = WordSearch(Target(access.target), self.loss, self.replacements, self.stop, self.rows)
        self._closing = torch.zeros_like(access.speaking)
        self.queries = torch.zeros_like(access.turn)

    def memory(self) -> dict[str, Tensor]:
        """Where the talk is to be ended at the next turn, and what was asked so far."""
        return {"closing": self._closing, "queries": self.queries}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`memory` gave."""
        self._closing, self.queries = memory["closing"].clone(), memory["queries"].clone()

    def utter(self, observation: Observation, access: NegotiationAccess) -> Tensor:
        """What the attack found where it was tried, else regular speech; ``<selection>`` where the bait was taken."""
        said = super().utter(observation, access)
        begins = access.speaking & (access.said == 0)
        closing = begins & self._closing
        due = (begins & ~self._closing & self.due(access)).nonzero()[:, 0]
        if len(due):
            said[due] = self.bait(observation, access, due, said)
        return ended(said, closing, access)

    def due(self, access: NegotiationAccess) -> Tensor:
        """Where to attack now, (G,) bool."""
        return torch.ones_like(access.speaking)

    def bait(self, observation: Observation, access: NegotiationAccess, due: Tensor, said: Tensor) -> Tensor:
        """Utterances for matches `due` (D,) in place of regular speech `said` (G, L)."""
        raise NotImplementedError

    def react(self, observation: Observation, access: NegotiationAccess, rows: Tensor, said: Tensor) -> Found:
        """The reactive search of the matches at `rows` from utterances (R, L), its queries counted."""
        found = self._search.reactive(self.talks(observation, access).take(rows), said)
        self.queries[rows] += found.queries
        return found

    def preempt(
        self, observation: Observation, access: NegotiationAccess, rows: Tensor, said: Tensor, samples: int
    ) -> Found:
        """The preemptive search of the matches at `rows` from utterances (R, L), its queries counted."""
        talks, keys = self.talks(observation, access).take(rows), _other(access.noise_seeds, 3)[rows]
        most = int(access.settings.max_words or 0)
        found = self._search.preemptive(talks, said, keys, self.target_temperature, most, samples)
        self.queries[rows] += found.queries
        return found

    def talks(self, observation: Observation, access: NegotiationAccess) -> Talks:
        """The dialogues as the target reads them."""
        context, settings = access.target_context, access.settings
        walk_away = settings.walk_away_attacker, settings.walk_away_defender
        gain = choice_gains(observation["counts"], observation["own_values"], context[:, 1::2], walk_away)
        return Talks(turned(observation["words"], access.vocabulary), observation["length"][:, 0], context, gain)


class Reactive(Baiter):
    """Speaks so that the target ends the talk at once, and chooses badly (eq. 3.9-3.11).

    Args:
        n: the own utterance with which the attack begins; it goes on until the talk ends.
        options: as of :class:`Baiter`.
    """

    def __init__(
        self,
        weights: str | Negotiator = "sv",
        temperature: float = 0.5,
        n: int = 2,
        loss: DecisionLoss = "gain",
        replacements: int = 2,
        stop: float = 0.0,
        rows: int = 4096,
    ) -> None:
        super().__init__(weights, temperature, loss, replacements, stop, rows=rows)
        self.n = _positive("n", n)

    def due(self, access: NegotiationAccess) -> Tensor:
        """From the n-th own utterance on."""
        return access.turn // 2 >= self.n - 1

    def bait(self, observation: Observation, access: NegotiationAccess, due: Tensor, said: Tensor) -> Tensor:
        """What the search finds, successful or not."""
        return self.react(observation, access, due, said[due]).words


class Preemptive(Baiter):
    """Speaks so that, whatever the target replies, it chooses badly when the talk is ended then (eq. 3.12).

    Args:
        n: the own utterance that is the attack; the next one is ``<selection>``.
        samples: replies by which the result is judged.
        options: as of :class:`Baiter`.
    """

    def __init__(
        self,
        weights: str | Negotiator = "sv",
        temperature: float = 0.5,
        n: int = 2,
        loss: DecisionLoss = "gain",
        replacements: int = 2,
        samples: int = 10,
        target_temperature: float = 0.5,
        rows: int = 1024,
    ) -> None:
        super().__init__(weights, temperature, loss, replacements, 0.0, target_temperature, rows)
        self.n, self.samples = _positive("n", n), _positive("samples", samples)

    def due(self, access: NegotiationAccess) -> Tensor:
        """From the n-th own utterance on."""
        return access.turn // 2 >= self.n - 1

    def bait(self, observation: Observation, access: NegotiationAccess, due: Tensor, said: Tensor) -> Tensor:
        """What the search finds, successful or not; then the talk is ended."""
        found = self.preempt(observation, access, due, said[due], self.samples)
        self._closing[due] = True
        return found.words


class ArbitraryTurn(Baiter):
    """Finds out at every turn whether to attack: RA+PA+DA and RA+PA+TA (Algorithm 7).

    It tries the reactive attack, then, from a fresh sentence, the preemptive one; where neither promises enough it
    speaks regularly (delayed attack) or says a transferred sentence.

    Args:
        otherwise: ``"delayed"`` or ``"transfer"``.
        enough_reactive, enough_preemptive: a loss below which an attack is made. Algorithm 7 prints 0 for both; the
            released program asks for -5 and -2. Under ``loss="gain"`` -5 is a gain of more than 5 points where the
            choice is the target's first, and of more still where it is not; a preemptive attack's loss is a mean.
        samples: replies by which a preemptive attack is judged.
        sentences: the list L of the transfer attack, or a text file.
        options: as of :class:`Baiter`.
    """

    def __init__(
        self,
        weights: str | Negotiator = "sv",
        temperature: float = 0.5,
        otherwise: Literal["delayed", "transfer"] = "delayed",
        loss: DecisionLoss = "gain",
        replacements: int = 2,
        stop: float = 0.0,
        enough_reactive: float = -5.0,
        enough_preemptive: float = -2.0,
        samples: int = 10,
        target_temperature: float = 0.5,
        sentences: str | Sequence[str] = RELEASED,
        rows: int = 1024,
    ) -> None:
        super().__init__(weights, temperature, loss, replacements, stop, target_temperature, rows)
        if otherwise not in ("delayed", "transfer"):
            raise SettingError(f"otherwise must be 'delayed' or 'transfer', got {otherwise!r}")
        self.otherwise, self.sentences, self.samples = otherwise, sentences, _positive("samples", samples)
        self.enough_reactive, self.enough_preemptive = enough_reactive, enough_preemptive

    def reset(self, access: NegotiationAccess) -> None:
        """Begin a batch of dialogues."""
        super().reset(access)
        if self.otherwise == "transfer":
            self._list = encoded(self.sentences, access)

    def bait(self, observation: Observation, access: NegotiationAccess, due: Tensor, said: Tensor) -> Tensor:
        """The first of reactive, preemptive, and the other way that promises enough."""
        spoken = said[due].clone()
        reactive = self.react(observation, access, due, spoken)
        made = reactive.loss < self.enough_reactive
        spoken = torch.where(made[:, None], reactive.words, spoken)
        left = due[~made]
        if not len(left):
            return spoken
        fresh = self.regular(observation, access, left, _other(access.noise_seeds, 1))
        found = self.preempt(observation, access, left, fresh, self.samples)
        taken = found.loss < self.enough_preemptive
        self._closing[left] = taken
        if self.otherwise == "transfer":
            rest = self._list[access.pick(len(self._list))][left]
        else:
            rest = self.regular(observation, access, left, _other(access.noise_seeds, 2))
        spoken[~made] = torch.where(taken[:, None], found.words, rest)
        return spoken


def encoded(sentences: str | Sequence[str], access: NegotiationAccess) -> Tensor:
    """Sentences as utterances (N, max_words), or those of a text file, one a line.

    Raises:
        UnknownNameError: a word that the vocabulary does not hold.
        SettingError: none, or one that is too long.
        DataFileError: the file cannot be read.
    """
    if isinstance(sentences, str):
        try:
            sentences = [line for line in Path(sentences).read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataFileError(f"sentences {sentences!r}: the file cannot be read: {error}") from error
    names, most = access.vocabulary, int(access.settings.max_words or 0)
    rows = torch.full((len(sentences), most), names.pad, device=access.turn.device)
    for row, sentence in zip(rows, sentences, strict=True):
        words = names.encode(sentence.split(), strict=True)
        if not 0 < len(words) < most:
            raise SettingError(f"a sentence has from 1 to {most - 1} words, got {sentence!r}")
        row[: len(words) + 1] = torch.tensor([*words, names.eos])
    if not len(rows):
        raise SettingError("the transfer attack needs at least one sentence")
    return rows


def _other(keys: Tensor, number: int) -> Tensor:
    """Seeds of another stream than `keys`."""
    return (keys ^ (0x5DEECE66D * number)) & 0x7FFFFFFFFFFFFFFF


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"{name} must be a positive integer, got {value!r}")
    return value
