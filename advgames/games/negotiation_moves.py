"""What a move of the negotiation game looks like: acts, words or whole utterances, checked and read alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from advgames.dialogue.acts import CHOOSE, END, NUM_ACTIONS, NUM_ACTS, PASS, describe_act
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.speech import free_mask
from advgames.dialogue.splits import NO_DEAL, NUM_SPLITS, legal_splits
from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import ActionError
from advgames.games.negotiation_settings import NegotiationSettings
from advgames.games.negotiation_state import NegotiationState
from advgames.games.spaces import Classes

__all__ = ["UNREADABLE", "Moves", "Said"]

UNREADABLE = NO_DEAL + 1  # what an illegal choice becomes where that is an outcome
_CHOICES = NO_DEAL + 1


class Said(NamedTuple):
    """Words that a phase adds to G dialogues.

    Attributes:
        tokens: (G, n), -1 behind the last.
        node: where in the grammar the utterance stands now, (G,).
        finished: whether it ends here, (G,) bool.
        acts: the act it was, (G,); -1 where it is none of the grammar (or not finished).
        ends: whether it ended the talk, (G,) bool.
        illegal: whether it was no legal move, where that is an outcome, (G,) bool.
    """

    tokens: Tensor
    node: Tensor
    finished: Tensor
    acts: Tensor
    ends: Tensor
    illegal: Tensor


class Moves:
    """One view of the game's moves.

    ``acts``: a number, an act or (past the acts) a choice. ``tokens`` by the word: a number, a word or (past the
    words) a choice. By the utterance, and ``text``: 1 + L numbers, the choice (no deal while there is talk) and the
    words (padding while there is none). Who is not to move passes: act 0, the word ``<pad>``, or no deal and padding.

    Args:
        settings: the game's, completed.
        vocabulary, grammar: of the task, on the game's device.
    """

    def __init__(self, settings: NegotiationSettings, vocabulary: Vocabulary, grammar: Grammar) -> None:
        self.vocabulary, self.grammar = vocabulary, grammar
        self.by_act = settings.actions == "acts"
        self.by_word = settings.actions == "tokens" and settings.unit == "word"
        self.lenient = settings.illegal == "outcome"
        self.grammatical = bool(settings.grammar)
        self.max_words = int(settings.max_words or 0)
        words = len(vocabulary)
        self.size = NUM_ACTIONS if self.by_act else words + _CHOICES
        single = self.by_act or self.by_word
        self.space = Classes((), self.size) if single else Classes((1 + self.max_words,), max(words, UNREADABLE + 1))
        self.first_choice = CHOOSE if self.by_act else words
        self.passing = PASS if self.by_act else vocabulary.pad

    @property
    def masked(self) -> bool:
        """Whether a move is one number, so that a mask says exactly which are legal."""
        return self.by_act or self.by_word

    def mask(self, state: NegotiationState, active: Tensor, legal: Tensor) -> Tensor:
        """Which moves are legal, 1 or 0, (G, N) int64, for players that are `active` (G,) and acts `legal` (G, 163)."""
        mask = torch.zeros(len(active), self.size, dtype=torch.bool, device=active.device)
        mask[:, self.passing] = ~active
        talk = active & state.talking
        if self.by_act:
            mask[:, :NUM_ACTS] |= legal & talk[:, None]
        else:
            mask[:, : len(self.vocabulary)] |= self.next_words(state.node, state.said, legal) & talk[:, None]
        choosing = active & ~state.talking
        mask[:, self.first_choice : self.first_choice + NUM_SPLITS] |= legal_splits(state.counts) & choosing[:, None]
        mask[:, self.first_choice + NO_DEAL] |= choosing
        return mask.long()

    def next_words(self, node: Tensor, said: Tensor, legal: Tensor) -> Tensor:
        """Words that may follow in utterances of `said` (G,) words that stand at `node` (G,), (G, V) bool."""
        if self.grammatical:
            return self.grammar.next_words(node, legal)
        return free_mask(self.vocabulary, said, self.max_words)

    def null(self, state: NegotiationState, active: Tensor, legal: Tensor, choosing: bool) -> Tensor:
        """Ending the talk, or choosing no deal; passing where it is not to move; (G,) or (G, 1 + L).

        An utterance that has begun is ended first, or goes on with the first of the words that are legal.
        """
        end = END if self.by_act else self.vocabulary.selection
        if self.masked:
            move = torch.full_like(state.said, self.first_choice + NO_DEAL if choosing else end)
            if self.by_word and not choosing:  # <eos> is the first of all words
                word = self.next_words(state.node, state.said, legal).long().argmax(1)
                move = torch.where(state.said > 0, word, move)
            return torch.where(active, move, self.passing)
        move = self.pass_all(active)
        move[:, 1] = torch.where(active & (not choosing), end, move[:, 1])
        return move

    def pass_all(self, like: Tensor) -> Tensor:
        """Nothing said and nothing chosen, (G,) or (G, 1 + L), for G matches as in `like`."""
        if self.masked:
            return torch.full_like(like, self.passing, dtype=torch.int64)
        move = torch.full((len(like), 1 + self.max_words), self.vocabulary.pad, device=like.device)
        move[:, 0] = NO_DEAL
        return move

    def utterance(self, state: NegotiationState, active: Tensor, legal: Tensor, move: Tensor, player: str) -> Said:
        """What a move says, where `active`.

        Raises:
            ActionError: it is not legal; nothing has changed.
        """
        move = self.space.checked(move, len(active), active.device, player)
        if self.by_act:
            return self._act(state, active, legal, move, player)
        if self.by_word:
            return self._word(state, active, legal, move, player)
        return self._words(state, active, legal, move, player)

    def choice(self, state: NegotiationState, active: Tensor, move: Tensor, player: str) -> Tensor:
        """What a move chooses, (G,); no deal where it is not to choose.

        Raises:
            ActionError: it is not legal; nothing has changed.
        """
        move = self.space.checked(move, len(active), active.device, player)
        self._refuse(
            ~active & (move != self.pass_all(active)).reshape(len(move), -1).any(-1),
            lambda g: f"{player}: match {g} has ended: only passing is legal",
        )
        chosen, wordless = move - self.first_choice, torch.ones_like(active)
        if not self.masked:
            chosen, wordless = move[:, 0], (move[:, 1:] == self.vocabulary.pad).all(-1)
            self._judge(
                active,
                wordless,
                lambda g: f"{player}: the talk is over: a move now is a choice, with no words (match {g})",
            )
        legal = torch.nn.functional.pad(legal_splits(state.counts), (0, 2), value=True)
        inside = (chosen >= 0) & (chosen <= NO_DEAL)
        allowed = wordless & inside & legal.gather(1, chosen.clamp(0, UNREADABLE)[:, None])[:, 0]
        if self.lenient:
            chosen = torch.where(allowed, chosen, UNREADABLE)
        self._judge(
            active,
            ~active | allowed,
            lambda g: (
                f"{player}: {self._name_choice(int(chosen[g]))} is no legal choice of "
                f"{state.counts[g].tolist()} books, hats and balls (match {g})"
            ),
        )
        return torch.where(active, chosen, NO_DEAL)

    def _act(self, state: NegotiationState, active: Tensor, legal: Tensor, move: Tensor, player: str) -> Said:
        idle = torch.arange(NUM_ACTS, device=move.device) == PASS
        allowed = torch.where(active[:, None], legal, idle)
        allowed = (move < NUM_ACTS) & allowed.gather(1, move.clamp(0, NUM_ACTS - 1)[:, None])[:, 0]
        wrong = self._judge(
            active, allowed, lambda g: f"{player}: {describe_act(int(move[g]))} is not legal now in match {g}"
        )
        said = torch.where(move < NUM_ACTS, move, PASS)  # what is not legal is heard, but comes to nothing
        tokens = self.grammar.render(said)
        tokens = torch.where(tokens == self.vocabulary.pad, -1, tokens)
        return Said(tokens, state.node, active, torch.where(wrong, -1, said), active & (said == END) & ~wrong, wrong)

    def _word(self, state: NegotiationState, active: Tensor, legal: Tensor, move: Tensor, player: str) -> Said:
        names, said = self.vocabulary, state.said
        allowed = self.next_words(state.node, said, legal)
        idle = torch.arange(len(names), device=move.device) == names.pad
        allowed = torch.where(active[:, None], allowed, idle)
        known = move < len(names)
        allowed = known & allowed.gather(1, move.clamp(0, len(names) - 1)[:, None])[:, 0]
        wrong = self._judge(
            active, allowed, lambda g: self._bad_word(int(move[g]), int(said[g]), bool(active[g]), g, player)
        )
        spoken = active & ~wrong
        ends = spoken & (move == names.selection)
        finished = ends | (spoken & (move == names.eos))
        node = torch.where(spoken, self.grammar.advance(state.node, move), state.node)
        acts = torch.where(finished, self.grammar.acts_at(node), -1)
        return Said(torch.where(spoken, move, -1)[:, None], node, finished | wrong, acts, ends, wrong)

    def _words(self, state: NegotiationState, active: Tensor, legal: Tensor, move: Tensor, player: str) -> Said:
        names, words = self.vocabulary, move[:, 1:]
        idle = (move == self.pass_all(active)).all(-1)
        self._refuse(~active & ~idle, lambda g: f"{player}: not to speak in match {g}: only passing is legal")
        is_end = (words == names.eos) | (words == names.selection)
        place = torch.arange(words.shape[1], device=words.device)
        number = torch.where(is_end.any(-1), is_end.long().argmax(-1) + 1, words.shape[1])
        inside = place < number[:, None]
        wrong = self._judge(
            active,
            ~active | (move[:, 0] == NO_DEAL),
            lambda g: f"{player}: there is talk still: no choice can be made (match {g})",
        )
        wrong |= self._check_words(words, inside, is_end, active, player)
        heard = active & ~wrong  # what the grammar does not allow is heard, but comes to nothing
        kept = torch.where(inside, words, names.pad)
        acts = torch.where(active, self.grammar.parse(kept), -1)
        acts = torch.where(acts == PASS, -1, acts)
        fits = (acts >= 0) & legal.gather(1, acts.clamp(min=0)[:, None])[:, 0]
        if self.grammatical:
            wrong |= self._judge(
                active,
                ~active | wrong | fits,
                lambda g: f"{player}: {self.grammar.say(kept[g])!r} is no legal utterance of the grammar (match {g})",
            )
        ends = active & (words[:, 0] == names.selection) & ~wrong
        spoken = inside & heard[:, None]
        return Said(torch.where(spoken, words, -1), state.node, active, torch.where(wrong, -1, acts), ends, wrong)

    def _check_words(self, words: Tensor, inside: Tensor, is_end: Tensor, active: Tensor, player: str) -> Tensor:
        names = self.vocabulary
        outside = torch.zeros_like(inside)
        for word in names.unspeakable:
            outside |= words == word
        outside |= words >= len(names)
        cases = (
            (words[:, 0] == names.eos, "an utterance needs a word before <eos>"),
            (words[:, 0] == names.pad, "an utterance cannot be empty"),
            ((outside & inside).any(-1), "an utterance holds a word that cannot be spoken"),
            ((words[:, 1:] == names.selection).any(-1), "<selection> is an utterance of its own"),
            (~is_end.any(-1), f"an utterance ends with <eos> within {self.max_words} words"),
            (((words != names.pad) & ~inside).any(-1), "nothing but padding may follow the end of an utterance"),
        )
        wrong = torch.zeros_like(active)
        for bad, text in cases:
            wrong |= self._judge(active, ~active | ~bad, lambda g, text=text: f"{player}: {text} (match {g})")  # type: ignore[misc]
        return wrong

    def _judge(self, active: Tensor, allowed: Tensor, text: Callable[[int], str]) -> Tensor:
        """Matches in which an active player's move is not allowed, where that is an outcome; else a named error."""
        self._refuse(~allowed & ~active, text)
        if self.lenient:
            return active & ~allowed
        self._refuse(~allowed & active, text)
        return torch.zeros_like(active)

    def _bad_word(self, word: int, said: int, active: bool, match: int, player: str) -> str:
        names = self.vocabulary
        if not active:
            return f"{player}: not to speak in match {match}: only <pad> is legal"
        if word >= len(names):
            return f"{player}: there is talk still: no choice can be made (match {match})"
        if said == 0 and word in (names.eos, names.pad):
            return f"{player}: an utterance needs a word before <eos> (match {match})"
        what = f"word {said + 1} of an utterance"
        return f"{player}: {names.words[word]!r} cannot be {what} in match {match}"

    def _name_choice(self, choice: int) -> str:
        if 0 <= choice <= NO_DEAL:
            return describe_act(CHOOSE + choice)
        return f"move {choice + self.first_choice}" if self.masked else f"choice {choice}"

    @staticmethod
    def _refuse(bad: Tensor, text: Callable[[int], str]) -> None:
        """One named error for the first match in which something is wrong."""
        if bool(bad.any()):
            raise ActionError(text(int(bad.long().argmax())))
