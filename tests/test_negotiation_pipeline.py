"""Section 3.2 from end to end on the embedded dialogues: supervised, RL, every attack, adversarial training.

Everything follows from seeds; margins are about half of what was measured, so that other kernels pass too.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from advgames.agents import Agent, make_agent
from advgames.agents.baiting import ArbitraryTurn, Preemptive, Reactive, Transfer
from advgames.agents.negotiators import NeuralNegotiator
from advgames.dialogue.speech import utterances
from advgames.dialogue.tagging import drift, kind_distribution
from advgames.games import NegotiationGame
from advgames.games.negotiation_outcome import taken_by
from advgames.training.adversarial_dialogue import AdversarialTraining, DuelRecipe
from advgames.training.dialogues import converse
from advgames.training.reinforce import Reinforce, ReinforceRecipe
from advgames.victims.negotiator import Negotiator
from advgames.victims.supervised import evaluate

FRESH = 1_000_000  # match seeds that nothing was trained on


def talk(**settings: Any) -> NegotiationGame:
    return NegotiationGame("bargains", actions="tokens", unit="utterance", **settings)


ATTACKED: dict[str, Any] = {"adversarial": True, "access_attacker": "white-box"}
ATTACK = ReinforceRecipe(dialogues=640, batch_size=8, reward="advantage", baseline=256, supervised_every=0)


def figures(game: NegotiationGame, attacker: Agent, defender: Agent, matches: int = 100) -> dict[str, float]:
    state = converse(game, {"attacker": attacker, "defender": defender}, range(FRESH, FRESH + matches))
    return {name: float(values.nanmean()) for name, values in game.measures(state).items()}


@pytest.fixture(scope="module")
def supervised() -> Negotiator:
    return talk().model("sv")


@pytest.fixture(scope="module")
def adversary(supervised: Negotiator) -> Negotiator:
    """The RL attack on the supervised negotiator (eq. 3.7-3.8)."""
    game = talk(**ATTACKED)
    return Reinforce(game, copy.deepcopy(supervised), NeuralNegotiator(supervised), ATTACK).run()


def test_supervised_negotiators_come_to_agreements(supervised: Negotiator) -> None:
    """Measured: 95 % agreement, perplexity 1.65."""
    player = NeuralNegotiator(supervised)
    found = figures(talk(), player, NeuralNegotiator(supervised))
    assert found["agreement"] > 0.85 and min(found["score_attacker"], found["score_defender"]) > 5.0
    assert evaluate(supervised, talk().task.corpus("test")).perplexity < 1.9


def test_reinforcement_keeps_the_language(supervised: Negotiator) -> None:
    """The RL negotiator still agrees, still predicts the dialogues, and speaks acts of much the same kinds."""
    game = talk()
    recipe = ReinforceRecipe(dialogues=160, batch_size=4, supervised_rate=0.1)
    learner = Reinforce(
        game, copy.deepcopy(supervised), NeuralNegotiator(supervised), recipe, game.task.corpus("train")
    )
    trained = learner.run()
    assert figures(game, NeuralNegotiator(trained), NeuralNegotiator(supervised))["agreement"] > 0.8
    assert evaluate(trained, game.task.corpus("test")).perplexity < 2.2
    shares = []
    for model in (supervised, trained):
        players = {"attacker": NeuralNegotiator(model), "defender": NeuralNegotiator(supervised)}
        state = converse(game, players, range(FRESH, FRESH + 60))
        said = [each for row in state.words.tolist() for each in utterances(row, game.vocabulary)]
        shares.append(kind_distribution([text.split() for mine, text in said if mine]))
    assert 0.0 < drift(*shares) < 0.3


def test_attacks_are_ordered_as_in_the_thesis(supervised: Negotiator, adversary: Negotiator) -> None:
    """Advantages measured: nobody attacks -0.2, transfer 0.3, RL 2.4, reactive 1.4, preemptive 1.9, combination 2.8."""
    game, target = talk(**ATTACKED), NeuralNegotiator(supervised)
    none = figures(game, NeuralNegotiator(supervised), target)["advantage"]
    rl = figures(game, NeuralNegotiator(adversary), target)
    assert rl["advantage"] > none + 1.0
    attacks = {
        "reactive": Reactive(supervised),
        "preemptive": Preemptive(supervised, samples=4),
        "combination": ArbitraryTurn(supervised, samples=4),
        "with transfer": ArbitraryTurn(supervised, samples=4, otherwise="transfer", sentences=["i want"]),
    }
    found = {name: figures(game, agent, target, 50) for name, agent in attacks.items()}
    gains = {name: each["advantage"] for name, each in found.items()}
    assert all(gain > none + 0.5 for gain in gains.values()), gains
    assert gains["combination"] > gains["reactive"], gains
    transferred = figures(game, Transfer(supervised, turns=1, sentences=["i want"]), target, 50)
    assert transferred["advantage"] < rl["advantage"]


def test_adversarial_training_makes_the_target_harder_to_bait(supervised: Negotiator, adversary: Negotiator) -> None:
    game = talk(**ATTACKED)
    recipe = DuelRecipe(
        rounds=1,
        dialogues=320,
        target=ReinforceRecipe(batch_size=4, reward="advantage", baseline=256, supervised_rate=0.1),
        adversary=ATTACK,
    )
    duel = AdversarialTraining(
        game, copy.deepcopy(supervised), copy.deepcopy(adversary), recipe, game.task.corpus("train")
    )
    robust = duel.run()
    attack = NeuralNegotiator(adversary)
    before = figures(game, attack, NeuralNegotiator(supervised))["advantage"]
    after = figures(game, attack, NeuralNegotiator(robust))["advantage"]
    assert after < before - 0.3


def test_scripted_targets_cannot_be_baited_beyond_what_they_accept(adversary: Negotiator) -> None:
    """Known outcomes: the greedy never agree to less than everything, the stubborn never to less than they demand.

    What they leave is what the adversary gets.
    """
    game = talk(adversarial=True)
    for policy, least in (("greedy", 10.0), ("stubborn", 8.0), ("fair", 5.0)):
        target = make_agent(policy)
        state = converse(game, {"attacker": NeuralNegotiator(adversary), "defender": target}, range(FRESH, FRESH + 60))
        agreed = state.outcome == 1
        assert agreed.any(), policy
        left = state.counts - taken_by(state.choices[:, 1])
        assert torch.equal(state.scores[agreed, 0], (left * state.values[:, 0]).sum(1)[agreed].float())
        assert (state.scores[agreed, 1] >= least).all(), policy
        assert not state.scores[~agreed].any()
