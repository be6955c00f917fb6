"""REINFORCE on dialogues: the gradient is eq. 3.8's, the probabilities are those of the sampling, trainings resume."""

from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
import torch
from negotiating import PLAIN
from test_negotiator import LINES, WORDS, model

from advgames.agents import Pool
from advgames.agents.negotiators import NeuralNegotiator
from advgames.dialogue.corpus import Corpus
from advgames.dialogue.speech import free_words
from advgames.errors import SettingError
from advgames.games import NegotiationGame
from advgames.training.adversarial_dialogue import AdversarialTraining, DuelRecipe
from advgames.training.dialogues import converse
from advgames.training.negotiation_ladder import negotiation_ladder
from advgames.training.reinforce import Reinforce, ReinforceRecipe, Rewards, word_log_probabilities
from advgames.victims.decoding import Decoder

TALK: dict[str, Any] = {"actions": "tokens", "unit": "utterance", "max_turns": 4, "max_words": 5}


def game(**settings: Any) -> NegotiationGame:
    return NegotiationGame(PLAIN, **{**TALK, "adversarial": True, **settings})


def learner(recipe: ReinforceRecipe, seed: int = 1, **changes: Any) -> Reinforce:
    made = {"corpus": Corpus.of(LINES, WORDS), **changes}
    return Reinforce(game(), model(seed=seed), NeuralNegotiator(model(seed=2).requires_grad_(False)), recipe, **made)


def test_probabilities_are_those_of_the_sampling() -> None:
    """Of every word that a speaker said, by the decoder and the words it may say; nothing for the others."""
    made, play = model(), game()
    players = {"attacker": NeuralNegotiator(made), "defender": NeuralNegotiator(made)}
    state = converse(play, players, range(6))
    decoder = Decoder(made)
    first, between, last = free_words(WORDS, torch.device("cpu"))
    for side, player in enumerate(play.players):
        words, contexts = play.view(state, player), play.context(state, side)
        found = word_log_probabilities(made, contexts, words, 0.5, 5)
        for g in range(6):
            goal, hidden, said, mine = decoder.goal(contexts[g : g + 1]), decoder.begin(1), 0, False
            for t in range(int(state.length[g])):
                word = int(words[g, t])
                if word in (WORDS.you, WORDS.them):
                    said, mine = 0, word == WORDS.you
                else:
                    allowed = first if said == 0 else last if said == 4 else between
                    logits = decoder.next_word(hidden)[0].masked_fill(~allowed, -torch.inf) / 0.5
                    wanted = float(logits.log_softmax(-1)[word])
                    if mine:
                        assert float(found[g, t].detach()) == pytest.approx(wanted, abs=1e-4)
                    said += 1
                hidden = decoder.step(hidden, torch.tensor([word]), goal)


def test_the_update_follows_equation_38() -> None:
    """One plain SGD step equals the sum over own words of gamma^(T - t) (r - mu) grad log p, a mean over dialogues."""
    recipe = ReinforceRecipe(
        dialogues=6, batch_size=6, reward="advantage", learning_rate=0.1, momentum=0.0, clip=1e9, supervised_every=0
    )
    training = learner(recipe)
    before = copy.deepcopy(training.model)
    state = training.step()
    play = training.game
    reward = state.scores[:, 0] - state.scores[:, 1]
    centred = reward - reward.mean()
    assert float(centred.abs().max()) > 0
    words, contexts = play.view(state, "attacker"), play.context(state, 0)
    log_p = word_log_probabilities(before, contexts, words, 0.5, 5)
    total = torch.zeros(())
    for g in range(6):
        own, mine = [], False
        for t in range(int(state.length[g])):
            if int(words[g, t]) in (WORDS.you, WORDS.them):
                mine = int(words[g, t]) == WORDS.you
            elif mine:
                own.append(t)
        for place, t in enumerate(own, 1):
            total = total + 0.95 ** (len(own) - place) * centred[g] * log_p[g, t] / 6
    named = dict(before.named_parameters())
    gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    after = dict(training.model.named_parameters())
    for (name, weight), gradient in zip(named.items(), gradients, strict=True):
        step = 0.0 if gradient is None else 0.1 * gradient
        torch.testing.assert_close(after[name], weight + step, atol=1e-6, rtol=1e-4)


def test_the_baseline_is_the_mean_of_all_rewards_so_far() -> None:
    rewards = Rewards()
    assert rewards.centred(torch.tensor([2.0, 4.0]), False).tolist() == [-1.0, 1.0]
    assert rewards.centred(torch.tensor([9.0]), False).tolist() == [9.0 - 5.0]
    short = Rewards(memory=2)  # after 9 its sum is 2/3 of 15, after 0 it is 2/3 of that
    short.centred(torch.tensor([2.0, 4.0]), False)
    assert short.centred(torch.tensor([9.0]), False).tolist() == pytest.approx([9.0 - 15.0 / 3])
    assert short.centred(torch.tensor([0.0]), False).tolist() == pytest.approx([-(10.0 / 3)])
    again = Rewards()
    again.centred(torch.tensor([2.0, 4.0]), True)
    deviation = torch.tensor([2.0, 4.0, 9.0]).std(correction=0)
    torch.testing.assert_close(again.centred(torch.tensor([9.0]), True), (torch.tensor([9.0]) - 5.0) / deviation)


def test_supervised_steps_come_as_often_as_asked() -> None:
    """They move the decision module, which rewards alone leave as it is."""
    for every, moved in ((0, False), (4, False), (2, True)):
        training = learner(ReinforceRecipe(dialogues=3, supervised_every=every))
        before = training.model.heads.weight.detach().clone()
        training.run()
        assert torch.equal(before, training.model.heads.weight.detach()) is not moved, every


def test_a_training_stopped_goes_on_exactly() -> None:
    recipe = ReinforceRecipe(dialogues=9, batch_size=2, supervised_every=3)
    whole, first = learner(recipe), learner(recipe)
    whole.run()
    first.run(until=4)
    rest = learner(recipe, seed=9)
    rest.restore(*first.state())
    assert rest.done == 4
    rest.run()
    assert rest.history == whole.history and rest.done == 9
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


def test_either_seat_can_learn() -> None:
    for side in ("attacker", "defender"):
        training = learner(ReinforceRecipe(dialogues=2, reward="advantage", supervised_every=0), side=side)
        state = training.step()
        gain = float(state.scores[0, 0] - state.scores[0, 1])
        assert training.history[0]["reward"] == (gain if side == "attacker" else -gain)


@pytest.mark.parametrize("meets", ["present", "all"])
def test_adversarial_training_alternates_and_resumes(meets: Literal["present", "all"]) -> None:
    """The target moves in even turns and the adversary in odd ones; stopped between turns it goes on exactly."""
    play, corpus = game(), Corpus.of(LINES, WORDS)
    recipe = DuelRecipe(rounds=2, dialogues=3, meets=meets)

    def duel(seed: int = 3) -> AdversarialTraining:
        return AdversarialTraining(play, model(seed=seed), model(seed=seed + 1), recipe, corpus)

    whole, first = duel(), duel()
    moved = []
    for _ in range(4):
        before = [copy.deepcopy(m.state_dict()) for m in (whole.target, whole.adversary)]
        assert whole.step()
        after = [m.state_dict() for m in (whole.target, whole.adversary)]
        moved.append([any(not torch.equal(b[n], a[n]) for n in b) for b, a in zip(before, after, strict=True)])
    assert moved == [[True, False], [False, True]] * 2
    assert not whole.step()
    first.step()
    assert first.step(dialogues=2) and (first.turn, first.done) == (1, 2)  # stopped within a turn
    rest = duel(seed=8)
    rest.restore(*first.state())
    assert (rest.turn, rest.done) == (1, 2)
    assert len(rest.past) == len(first.past) == (1 if meets == "all" else 0)
    for one, other in zip(rest.past, first.past, strict=True):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    rest.run()
    assert rest.advantage == whole.advantage
    for name, value in whole.target.state_dict().items():
        assert torch.equal(value, rest.target.state_dict()[name]), name


def test_a_target_that_meets_all_meets_those_given_and_every_adversary_that_there_was() -> None:
    given = model(seed=5)
    duel = AdversarialTraining(
        game(), model(seed=3), model(seed=4), DuelRecipe(rounds=2, dialogues=3, meets="all"), past=[given]
    )
    seen = []
    for turn in range(4):
        opponent = duel.learner().opponent
        if turn % 2:  # the adversary meets the target as it stands
            assert isinstance(opponent, NeuralNegotiator) and opponent.weights is duel.target
        else:
            assert isinstance(opponent, Pool)
            models = [member.weights for member in opponent.agents if isinstance(member, NeuralNegotiator)]
            assert models[0] is duel.adversary and models[1] is given
            seen.append([copy.deepcopy(m.state_dict()) for m in models if not isinstance(m, str)])
        duel.step()
    assert [len(models) for models in seen] == [2, 3]
    first, second = seen
    assert all(torch.equal(first[0][name], second[2][name]) for name in first[0])  # as it was before it learned
    assert any(not torch.equal(first[0][name], second[0][name]) for name in first[0])
    with pytest.raises(SettingError, match="meets"):
        DuelRecipe(meets="some")  # type: ignore[arg-type]


@pytest.mark.parametrize("turn", [0, 1])
def test_every_turn_of_a_duel_has_dialogues_of_its_own_and_tells_the_adversarys_advantage(turn: int) -> None:
    duel = AdversarialTraining(game(), model(seed=3), model(seed=4), DuelRecipe(rounds=2, dialogues=3), turn=turn)
    learner = duel.learner()
    assert learner.side == ("attacker" if turn else "defender") and learner.recipe.seed == turn
    assert duel.step(dialogues=2)
    rewards = [h["reward"] for h in duel._learner.history] if duel._learner else []
    assert len(rewards) == 2 and duel.advantage == sum(rewards) / 2 * (1 if turn else -1) != 0


def test_a_ladder_climbs_and_its_table_is_what_was_played() -> None:
    play = game()  # where they always agree: models that know nothing would never, and learn nothing
    recipe = ReinforceRecipe(dialogues=4, batch_size=2, reward="advantage", supervised_every=0)
    start = model(seed=5)
    kept = copy.deepcopy(start.state_dict())
    ladder = negotiation_ladder(play, start, levels=2, recipe=recipe, seeds=range(5))
    assert all(torch.equal(kept[name], value) for name, value in start.state_dict().items())
    assert len(ladder.models) == 3 and ladder.game.rows == ("level-0", "level-1", "level-2")
    weights = [m.embedding.weight for m in ladder.models]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    players = {"attacker": NeuralNegotiator(ladder.models[2]), "defender": NeuralNegotiator(ladder.models[1])}
    scores = converse(play, players, range(5)).scores.double().mean(0)
    assert ladder.game.payoff[2, 1] == pytest.approx(float(scores[0]))
    assert ladder.game.column_payoff[2, 1] == pytest.approx(float(scores[1]))


def test_bad_recipes_and_games_are_refused() -> None:
    fixed = NeuralNegotiator(model())
    for wrong in (
        {"dialogues": 0},
        {"batch_size": 0},
        {"discount": 0.0},
        {"temperature": 0.0},
        {"learning_rate": 0.0},
        {"reward": "scores"},
    ):
        with pytest.raises(SettingError):
            ReinforceRecipe(**wrong)  # type: ignore[arg-type]
    for settings in ({"unit": "word"}, {"actions": "acts", "adversarial": False, "unit": "word", "max_words": 16}):
        with pytest.raises(SettingError, match="in free words"):
            Reinforce(game(**settings), model(), fixed)
    with pytest.raises(SettingError, match="adversarial"):
        AdversarialTraining(game(adversarial=False), model(), model())
    with pytest.raises(SettingError, match="rounds"):
        DuelRecipe(rounds=0)
    with pytest.raises(SettingError, match="ladder"):
        negotiation_ladder(game(), model(), levels=0)
