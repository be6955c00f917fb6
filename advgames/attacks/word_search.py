"""Greedy search for words that bait a negotiator: reactive (thesis eq. 3.9-3.11) and preemptive (eq. 3.12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from advgames.dialogue.speech import free_speech
from advgames.dialogue.splits import NO_DEAL, NUM_SPLITS, split_items, split_values
from advgames.errors import SettingError
from advgames.victims.choosing import Base, Chooser, Tails
from advgames.victims.decoding import Goal
from advgames.victims.negotiator import Negotiator

__all__ = ["Baits", "DecisionLoss", "Found", "Talks", "Target", "WordSearch", "choice_gains", "decision_loss"]

DecisionLoss = Literal["gain", "margin"]


class Talks(NamedTuple):
    """D dialogues as the target reads them, at the point where its adversary is to speak.

    Attributes:
        words: (D, W); the adversary's utterances are opened by ``THEM:``.
        length: words so far, (D,).
        context: the target's ``c0 v0 c1 v1 c2 v2``, (D, 6).
        gain: what each of the target's 127 choices is worth to the adversary less what it is worth to the target,
            S_adv - S_ori, (D, 127).
    """

    words: Tensor
    length: Tensor
    context: Tensor
    gain: Tensor

    def take(self, index: Tensor) -> Talks:
        """Some of them."""
        return Talks(*(part[index] for part in self))


class Found(NamedTuple):
    """What a search came to.

    Attributes:
        words: utterances, (D, L) padded.
        stop: by how much ``<selection>`` is likelier than every other first word of the target's reply, as a logit,
            (D,).
        loss: the decision loss there, (D,); infinite where the target would not end the talk.
        queries: utterances that the target was asked about, (D,).
    """

    words: Tensor
    stop: Tensor
    loss: Tensor
    queries: Tensor


def choice_gains(
    counts: Tensor, own_values: Tensor, target_values: Tensor, walk_away: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """S_adv - S_ori of each of the target's 127 choices, (D, 127), for an adversary who takes the rest.

    `walk_away` is what the adversary and the target get without a deal. Nothing is discounted.
    """
    taken = split_items(counts.device)
    left = (counts[:, None] - taken).to(torch.float32)
    gain = (left * own_values[:, None]).sum(-1) - split_values(target_values.float(), taken.float())
    return torch.nn.functional.pad(gain, (0, NO_DEAL + 2 - NUM_SPLITS), value=walk_away[0] - walk_away[1])


def decision_loss(logits: Tensor, gain: Tensor, form: DecisionLoss, weight: float = 5.0) -> Tensor:
    """How far the target is from a choice that favours the adversary, (R,): below 0 once it makes one.

    With O-bar the choices of positive gain, ``"margin"`` is eq. 3.10 without its floor: the best logit outside O-bar
    less the best inside. ``"gain"`` is what the released program minimises: `weight` times the best logit of all less
    the best of O-bar, less the gain of that choice. Infinite where no choice favours the adversary.
    """
    inside = (gain > 0) & torch.isfinite(logits)
    best, at = logits.masked_fill(~inside, -torch.inf).max(-1)
    if form == "margin":
        loss = logits.masked_fill(inside, -torch.inf).amax(-1) - best
    else:
        loss = weight * (logits.amax(-1) - best) - gain.gather(-1, at[:, None])[:, 0]
    return torch.where(inside.any(-1), loss, torch.inf)


class Target:
    """The model under attack, with everything precomputed that many questions share.

    Args:
        model: the target.
    """

    def __init__(self, model: Negotiator) -> None:
        self.model = model
        self.chooser = Chooser(model)
        self.decoder = self.chooser.decoder
        names = model.vocabulary
        self.vocabulary = names
        spoken = torch.ones(len(names), dtype=torch.bool, device=model.embedding.weight.device)
        spoken[[*names.unspeakable, names.eos, names.selection]] = False
        self.candidates = spoken.nonzero()[:, 0]  # words that may be put into an utterance
        self.others = spoken  # what else a reply may begin with


@dataclass
class Baits:
    """The base utterances of D dialogues, read by the target up to its own ``YOU:``."""

    target: Target
    talks: Talks
    said: Tensor  # (D, L)
    number: Tensor  # words of each, its <eos> included, (D,)
    goal: Goal
    start: Tensor  # where the utterance's first word stands, (D,)
    words: Tensor  # (D, T) of the whole: history, THEM:, utterance, YOU:
    states: Tensor  # (D, T, hidden)
    base: Base

    @classmethod
    def of(cls, target: Target, talks: Talks, said: Tensor) -> Baits:
        """Read the histories and the utterances once."""
        names, decoder = target.vocabulary, target.decoder
        number = (said != names.pad).sum(1)
        width = int((talks.length + number).amax()) + 2
        words = torch.nn.functional.pad(
            talks.words[:, :width], (0, max(0, width - talks.words.shape[1])), value=names.pad
        )
        place = torch.arange(width, device=said.device)
        offset = place - talks.length[:, None]
        inner = said.gather(1, (offset - 1).clamp(0, said.shape[1] - 1))
        words = torch.where(offset == 0, names.them, words)
        words = torch.where((offset >= 1) & (offset <= number[:, None]), inner, words)
        words = torch.where(offset == number[:, None] + 1, names.you, words)
        goal = decoder.goal(talks.context)
        read = decoder.states(decoder.begin(len(said)), words, goal)
        base = target.chooser.base(goal.code, talks.context[:, ::2], words, read)
        return cls(target, talks, said, number, goal, talks.length + 1, words, read, base)

    def tails(self, dialogue: Tensor, at: Tensor, word: Tensor) -> Tails:
        """Utterances with one word changed, up to ``YOU:``: row r puts `word` at place `at` of dialogue's utterance.

        The target's recurrent state is taken up where the changed word stands.
        """
        place = self.start[dialogue] + at
        longest = int((self.number[dialogue] - at).amax()) + 1
        index = place[:, None] + torch.arange(longest, device=at.device)
        words = self.words[dialogue[:, None], index.clamp(max=self.words.shape[1] - 1)]
        words[:, 0] = word
        hidden = self.states[dialogue, place - 1]
        lengths = self.number[dialogue] - at + 1
        return Tails(
            dialogue, place, words, self.target.decoder.states(hidden, words, self.goal.take(dialogue)), lengths
        )

    def unchanged(self) -> Tails:
        """The utterances as they are."""
        everyone = torch.arange(len(self.said), device=self.said.device)
        first = self.said[:, 0]
        return self.tails(everyone, torch.zeros_like(everyone), first)

    def stop_margin(self, tails: Tails) -> Tensor:
        """[Z_r]_sel less the largest other logit of the target's next word (eq. 3.9), (R,)."""
        names = self.target.vocabulary
        last = tails.states[torch.arange(len(tails.place)), tails.lengths - 1]
        logits = self.target.decoder.next_word(last)
        return logits[:, names.selection] - logits.masked_fill(~self.target.others, -torch.inf).amax(-1)

    def choices(self, tails: Tails) -> Tensor:
        """Logits of the target's choices if the talk ended there, (R, 127)."""
        return self.target.chooser.logits(self.base, tails)

    def replied(self, tails: Tails, keys: Tensor, temperature: float, max_words: int) -> Tails:
        """Tails with a reply that the target samples, and ``THEM:`` (or nothing, where it ends the talk itself)."""
        names, decoder = self.target.vocabulary, self.target.decoder
        goal = self.goal.take(tails.dialogue)
        last = tails.states[torch.arange(len(tails.place)), tails.lengths - 1]
        allowed = free_speech(names, max_words, last.device)
        reply, _ = decoder.speak(last, goal, keys, allowed, max_words, temperature)
        ended = reply[:, 0] == names.selection
        number = torch.where(ended, 0, (reply != names.pad).sum(1))
        reply = torch.nn.functional.pad(reply, (0, 1), value=names.pad)
        place = torch.arange(reply.shape[1], device=reply.device)
        reply = torch.where(place == number[:, None], names.them, reply)
        number = torch.where(ended, 0, number + 1)
        width = int((tails.lengths + number).amax())
        words = torch.nn.functional.pad(tails.words, (0, max(0, width - tails.words.shape[1])), value=names.pad)
        offset = torch.arange(words.shape[1], device=words.device) - tails.lengths[:, None]
        inner = reply.gather(1, offset.clamp(0, reply.shape[1] - 1))
        words = torch.where((offset >= 0) & (offset < number[:, None]), inner, words)
        hidden = self.states[tails.dialogue, tails.place - 1]
        return Tails(tails.dialogue, tails.place, words, decoder.states(hidden, words, goal), tails.lengths + number)


class WordSearch:
    """Greedy replacement of words, all dialogues and candidates in batches.

    Each iteration: in turn every word of an utterance is replaced by ``<pad>``, and where the loss is then lowest the
    word is to be changed; then every word of the vocabulary is tried in its place, and the best is kept (which may be
    the old one). Special words are never candidates.

    Args:
        target: the model under attack.
        loss: form of the decision loss.
        replacements: iterations; the thesis replaces two words.
        stop: the margin of eq. 3.9 that counts as ending the talk; the thesis's is 0. The target samples its words:
            the larger, the surer.
        rows: candidates evaluated at once.
    """

    def __init__(
        self, target: Target, loss: DecisionLoss = "gain", replacements: int = 2, stop: float = 0.0, rows: int = 4096
    ) -> None:
        if loss not in ("gain", "margin"):
            raise SettingError(f"loss must be 'gain' or 'margin', got {loss!r}")
        if replacements < 0 or rows < 1:
            raise SettingError(f"replacements must not be negative and rows positive, got {replacements} and {rows}")
        self.target, self.form, self.replacements, self.stop, self.rows = target, loss, replacements, stop, rows

    def reactive(self, talks: Talks, said: Tensor) -> Found:
        """Utterances after which the target ends the talk, and chooses badly (eq. 3.11); from `said` (D, L)."""
        return self._search(talks, said, self._reactive)

    def preemptive(
        self, talks: Talks, said: Tensor, keys: Tensor, temperature: float, max_words: int, samples: int = 10
    ) -> Found:
        """Utterances after whose reply, if the talk then ends, the target chooses badly (eq. 3.12).

        A candidate is judged by one reply, the same randomness for all candidates of a dialogue; what is kept is
        judged again by the mean over `samples` replies.

        Args:
            talks, said: as above.
            keys: seeds (D,) of the replies' randomness.
            temperature, max_words: of the target's words.
            samples: replies of the last judgement.
        """

        def one(baits: Baits, tails: Tails) -> tuple[Tensor, Tensor]:
            ended = baits.replied(tails, keys[tails.dialogue], temperature, max_words)
            loss = decision_loss(baits.choices(ended), talks.gain[tails.dialogue], self.form)
            return torch.zeros_like(loss), loss

        found = self._search(talks, said, one)
        baits = Baits.of(self.target, talks, found.words)
        everyone = torch.arange(len(said), device=said.device).repeat(samples)
        tails = baits.unchanged().take(everyone)
        fresh = keys.repeat(samples) + 1 + torch.arange(samples, device=said.device).repeat_interleave(len(said))
        ended = baits.replied(tails, fresh, temperature, max_words)
        losses = decision_loss(baits.choices(ended), talks.gain[everyone], self.form)
        return found._replace(loss=losses.view(samples, -1).mean(0), queries=found.queries + samples)

    def _reactive(self, baits: Baits, tails: Tails) -> tuple[Tensor, Tensor]:
        """(by how much eq. 3.9 fails, decision loss), (R,) each; the decision is asked for only where it holds."""
        margin = baits.stop_margin(tails)
        short = (self.stop - margin).clamp(min=0)
        loss = torch.full_like(margin, torch.inf)
        holds = (short == 0).nonzero()[:, 0]
        if len(holds):
            some = tails.take(holds)
            loss[holds] = decision_loss(baits.choices(some), baits.talks.gain[some.dialogue], self.form)
        return short, loss

    def _search(self, talks: Talks, said: Tensor, judge: Callable[[Baits, Tails], tuple[Tensor, Tensor]]) -> Found:
        names = self.target.vocabulary
        said, queries = said.clone(), torch.zeros_like(talks.length)
        for _ in range(self.replacements):
            baits = Baits.of(self.target, talks, said)
            inner = torch.arange(said.shape[1], device=said.device) < baits.number[:, None] - 1
            dialogue, at = inner.nonzero(as_tuple=True)
            if not len(dialogue):
                break
            rank = self._ranked(baits, judge, dialogue, at, torch.full_like(at, names.pad))
            spot = _first_best(rank, dialogue, len(said), at)
            some = (inner.sum(1) > 0).nonzero()[:, 0]
            words = self.target.candidates
            dialogue = some.repeat_interleave(len(words))
            word = words.repeat(len(some))
            rank = self._ranked(baits, judge, dialogue, spot[dialogue], word)
            best = _first_best(rank, dialogue, len(said), word)
            said[some, spot[some]] = best[some]
            queries += inner.sum(1) + len(words) * (inner.sum(1) > 0)
        baits = Baits.of(self.target, talks, said)
        whole = baits.unchanged()
        _, loss = judge(baits, whole)
        return Found(said, baits.stop_margin(whole), loss, queries + 1)

    def _ranked(
        self,
        baits: Baits,
        judge: Callable[[Baits, Tails], tuple[Tensor, Tensor]],
        dialogue: Tensor,
        at: Tensor,
        word: Tensor,
    ) -> Tensor:
        """(how far the constraint fails, loss) of every candidate, (R, 2)."""
        parts = []
        for index in torch.split(torch.arange(len(at), device=at.device), self.rows):
            parts.append(torch.stack(judge(baits, baits.tails(dialogue[index], at[index], word[index])), -1))
        return torch.cat(parts)


def _first_best(rank: Tensor, dialogue: Tensor, dialogues: int, values: Tensor) -> Tensor:
    """For each dialogue the value of its candidate of the least rank (constraint first), the first of equals, (D,)."""
    order = torch.arange(len(values), device=values.device)
    by_loss = torch.argsort(rank[:, 1], stable=True)
    by_constraint = by_loss[torch.argsort(rank[by_loss, 0], stable=True)]
    sorted_rows = by_constraint[torch.argsort(dialogue[by_constraint], stable=True)]
    first = torch.full((dialogues,), len(values), device=values.device)
    place = first.scatter_reduce(0, dialogue[sorted_rows], order, "amin")
    found = sorted_rows[place.clamp(max=len(values) - 1)]
    return torch.where(place < len(values), values[found], 0)
