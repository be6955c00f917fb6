"""The negotiation game: two sides talk about how to divide items, then both choose; one of them may be adversarial."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.acts import (
    ACCEPT,
    INSIST,
    PROPOSE,
    legal_acts,
)
from advgames.dialogue.corpus import read_scenarios
from advgames.dialogue.speech import turned
from advgames.dialogue.splits import ITEMS, MOST, NO_DEAL, mirrored
from advgames.games.base import Actions, Game, Payoffs
from advgames.games.negotiation_access import NegotiationAccess
from advgames.games.negotiation_features import act_features, act_space
from advgames.games.negotiation_moves import Moves
from advgames.games.negotiation_outcome import ILLEGAL, NOT_AGREED, measures, settle
from advgames.games.negotiation_settings import NegotiationSettings
from advgames.games.negotiation_state import NegotiationState
from advgames.games.negotiation_text import ACTION_TEXT, prompt_space, read_move, write_move
from advgames.games.spaces import Box, Classes, Mask, Observation, Space
from advgames.settings import parse, precision
from advgames.tasks.negotiations import NegotiationTask, load_negotiation
from advgames.tasks.negotiators import check_name, load_negotiator
from advgames.victims.negotiator import Negotiator

__all__ = ["NegotiationGame"]

_SIDES = {"attacker": 0, "defender": 1}
_CHOICE_PHASE = 2


class NegotiationGame(Game[NegotiationState]):
    """Bargaining in dialogues (thesis section 3.2.1), for G matches at once.

    There are some books, hats and balls, which each side values in its own way, 10 in all; neither knows the other's
    values. The sides speak in turn. In the end both choose a split; if the choices fit together, each side receives
    the value of what it takes, else what it gets for walking away.

    A round is a turn of each side: first the attacker's, then the defender's. Where the defender opens a dialogue the
    attacker passes in the first round; whoever is not to move in a match of a batch passes. Phases in which nobody
    moves are skipped, so that one match alone never passes.

    Args:
        task: a task, or its name.
        device, dtype: where the game lives, and the precision of payoffs.
        data_root: folder of data files for tasks that need them.
        settings: see :class:`NegotiationSettings`.
    """

    name = "negotiation"
    players = ("attacker", "defender")
    settings_model = NegotiationSettings
    lockstep = False
    default_task, default_agent, level_0 = "bargains", "fair", "fair"
    hidden = "what the items are worth to the other side"

    def __init__(
        self,
        task: NegotiationTask | str = "bargains",
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | str = torch.float32,
        data_root: str | None = None,
        **settings: Any,
    ) -> None:
        given = parse(NegotiationSettings, settings, self.name)
        if isinstance(task, str):
            task = load_negotiation(task, data_root)
        if given.scenarios is not None:
            scenarios = read_scenarios(given.scenarios)
            task = replace(task, pairs=lambda: scenarios)
        check_name(given.target)
        self.device, self.dtype = torch.device(device), precision(dtype)
        self.settings = given.completed(task)
        self.task = task
        self.grammar = task.grammar.to(self.device)
        self.vocabulary = task.vocabulary
        choosers = ("defender",) if given.adversarial else self.players
        self.phases = (("attacker",), ("defender",), choosers)
        self.moves = Moves(self.settings, self.vocabulary, self.grammar)
        self.zero_sum = given.payoff == "advantage"
        self._walk_away = (given.walk_away_attacker, given.walk_away_defender)

    @property
    def talk_rounds(self) -> int:
        """Rounds of talk at most: the last turn may be in one more if the defender opens."""
        turns = self.settings.max_turns + (self.settings.first != "attacker")
        return math.ceil(turns / 2)

    @property
    def horizon(self) -> int:
        """Rounds of talk, and that of the choices."""
        return self.talk_rounds + (self.settings.ending == "select")

    @property
    def width(self) -> int:
        """Words of a dialogue at most, each utterance's opening word included."""
        return self.settings.max_turns * (self.max_words + 1)

    @property
    def max_words(self) -> int:
        """Words of an utterance at most, its end included."""
        return int(self.settings.max_words or 0)

    def reset(self, seeds: Sequence[int] | Tensor, **per_match: Sequence[float]) -> NegotiationState:
        """Fresh dialogues, one per seed, which decides the scenario and who opens.

        Raises:
            UnknownNameError: something is named that could differ between matches: nothing can.
        """
        self._refuse_per_match(per_match)
        keys = rng.seed_tensor(seeds, self.device)
        pairs = self.task.scenarios(keys)
        matches, turns = len(keys), self.settings.max_turns
        coin = (rng.bits(keys, "negotiation.first", 0, ()) >> 7) & 1
        opener = {"attacker": torch.zeros_like(coin), "defender": torch.ones_like(coin), "random": coin}

        def full(shape: tuple[int, ...], value: int) -> Tensor:
            return torch.full((matches, *shape), value, device=self.device)

        state = NegotiationState(
            round=0,
            phase=0,
            seeds=keys,
            counts=pairs[:, 0, ::2].contiguous(),
            values=pairs[:, :, 1::2].contiguous(),
            opener=opener[self.settings.first],
            turn=full((), 0),
            words=full((self.width,), self.vocabulary.pad),
            length=full((), 0),
            starts=full((turns,), -1),
            acts=full((turns,), -2),
            node=full((), self.grammar.start),
            offers=full((2,), -1),
            offerer=full((), -1),
            talking=torch.ones(matches, dtype=torch.bool, device=self.device),
            choices=full((2,), -1),
            outcome=full((), 0),
            offender=full((), -1),
            scores=torch.zeros(matches, 2, dtype=self.dtype, device=self.device),
        )
        return self._to_move(state)

    def movers(self, state: NegotiationState) -> tuple[str, ...]:
        """The players who move now."""
        return self.phases[state.phase]

    def active(self, state: NegotiationState, player: str) -> Tensor:
        """Matches in which `player` is to speak or to choose in the present phase, (G,) bool; elsewhere it passes."""
        if self.over(state) or player not in self.phases[state.phase]:
            return torch.zeros_like(state.talking)
        if state.phase == _CHOICE_PHASE:
            return state.outcome == 0
        return state.speaker == _SIDES[player]

    def observe(self, state: NegotiationState, player: str) -> dict[str, Tensor]:
        """What `player` sees, (G, ...) each; all are copies.

        counts (3) of the items and own_values (3) of a piece to the player; to_do: 0 pass, 1 speak, 2 choose; progress
        (1): the share of turns that have passed. In acts: kinds (T) of the acts so far (0 not yet, else 1 + the place
        in ``KINDS``), mine (T) whether they were the player's own, offers (T, 3): what the player itself would get of
        what was offered, and -1 where no offer was made; claims (3): what the other side said a piece is worth to it (0
        nothing, else 1 + the value); own_offer, other_offer (3): the pieces that the player would get by the last offer
        of each side (0 there is none, else 1 + the number), and offers_worth (2): what these are worth to it, -1 where
        there is none. In words: words (W) as the player reads them, and length (1).
        Where moves are numbers: action_mask (N), 1 for legal ones.
        """
        self._check_player(player)
        side = _SIDES[player]
        active = self.active(state, player)
        to_do = torch.where(active, 2 if state.phase == _CHOICE_PHASE else 1, 0)
        seen = {
            "counts": state.counts.clone(),
            "own_values": state.values[:, side].clone(),
            "to_do": to_do,
            "progress": (state.turn / self.settings.max_turns).to(self.dtype)[:, None],
        }
        if self.settings.actions == "acts":
            seen |= self._seen_acts(state, side)
        else:
            seen |= {"words": self.view(state, player), "length": state.length[:, None].clone()}
        if self.moves.masked:
            seen["action_mask"] = self.moves.mask(state, active, self._legal_acts(state, side)).to(torch.int8)
        return seen

    def view(self, state: NegotiationState, player: str) -> Tensor:
        """The dialogue (G, W) as `player` reads it: its own utterances are opened by ``YOU:``."""
        if player == "attacker":
            return state.words.clone()
        return turned(state.words, self.vocabulary)

    def context(self, state: NegotiationState, side: int) -> Tensor:
        """``c0 v0 c1 v1 c2 v2`` as a side sees it, (G, 6)."""
        return torch.stack([state.counts, state.values[:, side]], -1).flatten(1)

    def access(self, state: NegotiationState, player: str) -> NegotiationAccess:
        """What the settings grant the player."""
        self._check_player(player)
        side = _SIDES[player]
        active = self.active(state, player)
        choosing = state.phase == _CHOICE_PHASE
        level = "white-box" if side == 1 else self.settings.access_attacker  # the target knows itself
        granted: dict[str, Any] = {
            **self._seat(state, player, 1.0 if side == 0 else -1.0),
            "settings": self.settings,
            "vocabulary": self.vocabulary,
            "grammar": self.grammar,
            "speaking": active & (not choosing),
            "choosing": active & choosing,
            "turn": state.turn.clone(),
            "said": state.said,
            "starts": state.starts.clone(),
            "legal": self._legal_acts(state, side),
            "counts": state.counts.clone(),
            "values": state.values[:, side].clone(),
            "acts": state.acts.clone(),
            "mine": state.spoken_by(side),
            "model": functools.partial(_model, self.task, self.device),
            "level": level,
            "target_context": self.context(state, 1) if level == "white-box" else None,
        }
        return NegotiationAccess(**granted)

    def model(self, name: str) -> Negotiator:
        """A negotiator by name, on the game's device: ``"sv"``, a file of weights, or ``"my_module:name"``."""
        return _model(self.task, self.device, name)

    def action_space(self, player: str) -> Space:
        """Moves of one match: numbers, or texts that :meth:`read_action` makes such numbers of."""
        self._check_player(player)
        return ACTION_TEXT if self.settings.actions == "text" else self.moves.space

    def observation_space(self, player: str) -> Observation:
        """Spaces of what :meth:`observe` returns for one match, and of :meth:`prompt` where moves are texts."""
        self._check_player(player)
        items = len(ITEMS)
        spaces: Observation = {
            "counts": Classes((items,), MOST + 1),
            "own_values": Classes((items,), 11),
            "to_do": Classes((), 3),
            "progress": Box((1,), 0.0, 1.0),
        }
        if self.settings.actions == "acts":
            spaces |= act_space(self.settings.max_turns)
        else:
            spaces |= {
                "words": Classes((self.width,), len(self.vocabulary)),
                "length": Classes((1,), self.width + 1),
            }
        if self.moves.masked:
            spaces["action_mask"] = Mask((self.moves.size,))
        if self.settings.actions == "text":
            spaces["text"] = prompt_space(self)
        return spaces

    def null_action(self, state: NegotiationState, player: str) -> Tensor:
        """Ending the talk (after the utterance that has begun, if there is one), and choosing no deal."""
        legal = self._legal_acts(state, _SIDES[player])
        return self.moves.null(state, self.active(state, player), legal, state.phase == _CHOICE_PHASE)

    def check(self, state: NegotiationState, player: str, action: Tensor) -> None:
        """Refuse a choice that is not legal, before the other side has chosen.

        Raises:
            ActionError: it is not legal.
        """
        if state.phase == _CHOICE_PHASE:
            self.moves.choice(state, self.active(state, player), action, player)

    def prompt(self, state: NegotiationState, player: str, match: int = 0) -> str:
        """The situation, the dialogue so far, and what the player is asked for now."""
        from advgames.games.render_negotiation import prompt

        return prompt(self, state, player, match)

    def read_action(self, state: NegotiationState, player: str, text: str, match: int = 0) -> Tensor:
        """What a text means as a move, (1 + L,); a text that cannot be read becomes one that is not legal."""
        return read_move(self, state, player, text, match)

    def write_action(self, state: NegotiationState, player: str, action: Tensor) -> str:
        """A move (1 + L,) of one match as a text."""
        return write_move(self, state, player, action)

    def measures(self, state: NegotiationState) -> dict[str, Tensor]:
        """See :func:`advgames.games.negotiation_outcome.measures`."""
        return measures(state, self._walk_away, bool(self.settings.grammar))

    def render_text(self, state: NegotiationState, match: int = 0) -> str:
        """One dialogue as a person reads it: both sides' values, what was said, the choices and the scores."""
        from advgames.games.render_negotiation import transcript

        return transcript(self, state, match)

    def _seen_acts(self, state: NegotiationState, side: int) -> dict[str, Tensor]:
        offers = state.offers[:, side], state.offers[:, 1 - side]
        return act_features(state.acts, state.spoken_by(side), state.counts, state.values[:, side], offers, self.dtype)

    def _legal_acts(self, state: NegotiationState, side: int) -> Tensor:
        standing = state.offerer == 1 - side
        return legal_acts(state.counts, state.offers[:, side], state.offers[:, 1 - side], standing)

    def _move(self, state: NegotiationState, actions: Actions) -> tuple[NegotiationState, Payoffs, Tensor]:
        before = state.outcome
        if state.phase == _CHOICE_PHASE:
            following = self._choose(state, actions)
        else:
            (player,) = actions
            following = self._speak(state, player, actions[player])
        following = self._to_move(following)
        fresh = ((before == 0) & (following.outcome != 0))[:, None]
        paid = torch.where(fresh, following.scores, torch.zeros_like(following.scores))
        if self.settings.payoff == "advantage":
            paid = paid - paid.flip(1)
        return following, {p: paid[:, s].clone() for p, s in _SIDES.items()}, following.outcome != 0

    def _speak(self, state: NegotiationState, player: str, action: Tensor) -> NegotiationState:
        side, active = _SIDES[player], self.active(state, player)
        legal = self._legal_acts(state, side)
        said = self.moves.utterance(state, active, legal, action, player)
        opening = active & (state.said == 0)
        starts = _put(state.starts, state.turn, state.length, opening)
        prefix = self.vocabulary.you if side == 0 else self.vocabulary.them
        words, length = _append(state.words, state.length, said.tokens, active, opening, prefix)
        spoken = replace(state, words=words, length=length, starts=starts, node=said.node)
        meant = legal.gather(1, said.acts.clamp(min=0)[:, None])[:, 0]  # free words may offer what there is not
        acts = torch.where(meant, said.acts, -1)
        return self._finish(spoken, side, said.finished, acts, said.ends, said.illegal)

    def _finish(
        self, state: NegotiationState, side: int, finished: Tensor, acts: Tensor, ends: Tensor, illegal: Tensor
    ) -> NegotiationState:
        """The state after a side's utterance where it is `finished`: its act counts, and the turn passes."""
        offered = finished & (acts >= PROPOSE) & (acts < INSIST)
        offers = state.offers.clone()
        offers[:, side] = torch.where(offered, acts - PROPOSE, offers[:, side])
        again = finished & (acts == INSIST) & (offers[:, side] >= 0)
        offerer = torch.where(offered | again, side, state.offerer)
        turn = state.turn + finished.long()
        cut = finished & ~ends & (turn >= self.settings.max_turns)
        over = finished & ends | cut | illegal
        outcome, choices, scores = state.outcome, state.choices, state.scores
        walk = torch.tensor(self._walk_away, dtype=self.dtype, device=self.device)
        outcome = torch.where(illegal, ILLEGAL, outcome)
        if self.settings.ending == "accept":
            deal = finished & (acts == ACCEPT)
            over = over | deal
            theirs = offers[:, 1 - side]
            agreed = torch.empty_like(choices)
            agreed[:, 1 - side], agreed[:, side] = theirs, mirrored(theirs, state.counts)
            agreed = torch.where(deal[:, None], agreed, NO_DEAL)
            choices = torch.where(over[:, None], agreed, choices)
            found, worth = settle(state.counts, state.values, choices, walk, self._discount(turn))
            outcome = torch.where(over & ~illegal, torch.where(deal, found, NOT_AGREED), outcome)
            scores = torch.where(over[:, None], worth, scores)
        elif self.settings.at_limit == "walk-away":
            outcome = torch.where(cut & ~illegal, NOT_AGREED, outcome)
            choices = torch.where(cut[:, None], NO_DEAL, choices)
            scores = torch.where(cut[:, None], walk, scores)
        scores = torch.where(illegal[:, None], walk, scores)
        return replace(
            state,
            turn=turn,
            acts=_put(state.acts, state.turn, acts, finished),
            node=torch.where(finished, self.grammar.start, state.node),
            offers=offers,
            offerer=offerer,
            talking=state.talking & ~over,
            outcome=outcome,
            offender=torch.where(illegal, side, state.offender),
            choices=choices,
            scores=scores,
        )

    def _choose(self, state: NegotiationState, actions: Actions) -> NegotiationState:
        movers = self.movers(state)  # in this order, whatever that of the actions
        chosen = {p: self.moves.choice(state, self.active(state, p), actions[p], p) for p in movers}
        target = chosen["defender"]
        own = chosen["attacker"] if "attacker" in chosen else mirrored(target.clamp(max=NO_DEAL), state.counts)
        broken = {p: (c > NO_DEAL) & (state.outcome == 0) for p, c in chosen.items()}
        open_ = state.outcome == 0
        choices = torch.where(open_[:, None], torch.stack([own, target], -1).clamp(max=NO_DEAL), state.choices)
        walk = torch.tensor(self._walk_away, dtype=self.dtype, device=self.device)
        outcome, scores = settle(state.counts, state.values, choices, walk, self._discount(state.turn))
        offender = state.offender
        for player, wrong in broken.items():
            outcome = torch.where(wrong, ILLEGAL, outcome)
            scores = torch.where(wrong[:, None], walk, scores)
            offender = torch.where(wrong & (offender < 0), _SIDES[player], offender)
        return replace(
            state,
            choices=choices,
            outcome=torch.where(open_, outcome, state.outcome),
            scores=torch.where(open_[:, None], scores, state.scores),
            offender=offender,
        )

    def _discount(self, turns: Tensor) -> Tensor:
        """The discount of an agreement after so many turns: none after an offer and its answer."""
        base = torch.full_like(turns, self.settings.discount, dtype=self.dtype)
        return base ** (turns - 2).clamp(min=0)

    def _to_move(self, state: NegotiationState) -> NegotiationState:
        """The state at the next phase in which somebody moves, or at the end."""
        if not bool((state.outcome == 0).any()):
            return replace(state, round=self.horizon, phase=0)
        round, phase = state.round, state.phase
        speaker = state.speaker
        while round < self.talk_rounds:
            if bool((speaker == phase).any()):
                return replace(state, round=round, phase=phase)
            round, phase = (round, 1) if phase == 0 else (round + 1, 0)
        return replace(state, round=self.talk_rounds, phase=_CHOICE_PHASE)


def _model(task: NegotiationTask, device: torch.device, name: str) -> Negotiator:
    return load_negotiator(task, name, device)


def _put(table: Tensor, column: Tensor, values: Tensor, where: Tensor) -> Tensor:
    """`table` (G, T) with `values` (G,) in each row's column, where asked."""
    here = (torch.arange(table.shape[1], device=table.device) == column[:, None]) & where[:, None]
    return torch.where(here, values[:, None], table)


def _append(
    words: Tensor, length: Tensor, tokens: Tensor, active: Tensor, opening: Tensor, prefix: int
) -> tuple[Tensor, Tensor]:
    """Dialogues (G, W) and lengths with tokens (G, n) behind, after the opening word where an utterance begins."""
    opened = opening.long()
    number = (tokens >= 0).sum(1) * active
    place = torch.arange(words.shape[1], device=words.device) - (length + opened)[:, None]
    new = tokens.gather(1, place.clamp(0, tokens.shape[1] - 1))
    inside = (place >= 0) & (place < number[:, None])
    first = (place == -1) & opening[:, None]
    return torch.where(inside, new, torch.where(first, prefix, words)), length + number + opened
