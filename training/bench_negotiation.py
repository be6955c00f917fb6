"""Speed of negotiation: dialogues by the batch against one at a time, and the word search against a plain one."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from advgames.agents import Agent
from advgames.agents.negotiators import NeuralNegotiator
from advgames.attacks.plain_word_search import plain_reactive
from advgames.attacks.word_search import Talks, Target, WordSearch, choice_gains
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.vocabulary import Vocabulary
from advgames.games import NegotiationGame
from advgames.tasks.negotiations import NegotiationTask
from advgames.training.dialogues import converse
from advgames.training.timing import Row, medians
from advgames.victims.negotiator import Negotiator

__all__ = ["negotiation", "talkative"]

WORDS = 463  # as in the published model
SPREAD = (
    28.0  # of the words' logits: about half of all candidates keep the constraint, as with a model of real dialogues
)
ENDS, SELECTS = 1 / 6, 1 / 5  # chances of <eos> as the next word and of <selection> as the first, as in the data


def negotiation(device: torch.device) -> Iterator[Row]:
    """Rows of the benchmark: CPU seconds of one dialogue at a time over those of a batch, same model, same seeds."""
    game, model = talkative(device)
    players: dict[str, Agent] = {player: NeuralNegotiator(model) for player in game.players}
    alone = (
        medians(
            device,
            lambda: [converse(game, players, [s]) for s in range(64)],
            repetitions=3,
            warm_up=1,
            clock=time.process_time,
        )[0]
        / 64
    )
    for matches, bound in ((32, 4.0), (256, 15.0)):
        repetitions = 9 if matches < 100 else 5
        batch = (
            medians(
                device,
                functools.partial(converse, game, players, range(matches)),
                repetitions=repetitions,
                warm_up=1,
                clock=time.process_time,
            )[0]
            / matches
        )
        name = f"self-play: one by one ({1 / alone:.0f} dialogues/s) / {matches} at once ({1 / batch:.0f})"
        yield Row(name, alone / batch, bound, "at least", batch)
    talks, said = _situation(game, players, 8)
    search = WordSearch(Target(model))
    ours, plain = medians(
        device,
        lambda: search.reactive(talks, said),
        lambda: plain_reactive(model, talks.take(torch.arange(1)), said[:1]),
        repetitions=3,
        warm_up=0,
        clock=time.process_time,
    )
    each = ours / len(said)
    yield Row("reactive attack per dialogue: plain search / batched", plain / each, 10.0, "at least", each)


def talkative(device: torch.device) -> tuple[NegotiationGame, Negotiator]:
    """A game in words and a model of the published size with random weights, made to end utterances and talks.

    It ends an utterance and the talk about as often as people do in the published dialogues, whatever was said.
    """
    own = Grammar().vocabulary.words
    vocabulary = Vocabulary([*own, *(f"word{n}" for n in range(WORDS - len(own)))])
    model = Negotiator(vocabulary)
    temperature = 0.5
    with torch.no_grad():
        model.speak_layer.weight *= SPREAD
        model.embedding.weight[:, 0] = 0.0  # the logits' constant share, which is the same for all other words
        model.speak_layer.bias[0] = 1.0
        for word, chance in ((vocabulary.eos, ENDS), (vocabulary.selection, SELECTS)):
            wanted = temperature * torch.tensor(WORDS * chance / (1 - chance)).log()
            model.embedding.weight[word, 0] = wanted
    task = NegotiationTask("benchmark", read=lambda split: [], words=vocabulary)
    game = NegotiationGame(task, actions="tokens", unit="utterance", device=device)
    return game, model.to(device).eval().requires_grad_(False)


def _situation(game: NegotiationGame, players: dict[str, Agent], number: int) -> tuple[Talks, Tensor]:
    """Dialogues after two utterances, as the target reads them, and what its adversary is about to say."""
    state = game.reset(range(4 * number))
    for player in game.players:
        players[player].reset(game.access(state, player))
    while int(state.turn.amax()) < 3 and state.phase < 2:
        moves = {p: players[p].act(game.observe(state, p), game.access(state, p)) for p in game.movers(state)}
        state, _, _ = game.step(state, moves)
        if state.phase == 0 and bool((state.turn >= 2).any()):
            break
    said = players["attacker"].act(game.observe(state, "attacker"), game.access(state, "attacker"))[:, 1:]
    names = game.vocabulary
    rows = ((said[:, 0] != names.pad) & (said[:, 0] != names.selection) & (state.turn >= 1)).nonzero()[:number, 0]
    gain = choice_gains(state.counts, state.values[:, 0], state.values[:, 1])
    talks = Talks(game.view(state, "defender"), state.length, game.context(state, 1), gain)
    return talks.take(rows), said[rows]
