"""The adversaries' word search: exactly what a plain one finds, on losses and constraints that are known."""

from __future__ import annotations

import itertools

import pytest
import torch
from test_negotiator import WORDS, model

from advgames import rng
from advgames.attacks.plain_word_search import plain_preemptive, plain_reactive
from advgames.attacks.word_search import Baits, Talks, Target, WordSearch, choice_gains, decision_loss
from advgames.dialogue.scenarios import generate_scenarios
from advgames.dialogue.splits import NO_DEAL, split_index
from advgames.errors import SettingError

SPOKEN = [w for w in range(len(WORDS)) if w not in (*WORDS.unspeakable, WORDS.eos, WORDS.selection)]


def talks(number: int, seed: int = 0) -> tuple[Talks, torch.Tensor]:
    """Dialogues of one or two utterances, as the target reads them, and what the adversary is about to say."""
    pairs = generate_scenarios(rng.seed_tensor(range(seed, seed + number)))
    keys = rng.seed_tensor(range(seed, seed + number))
    drawn = torch.tensor(SPOKEN)[rng.bits(keys, "test", 0, (30,)).abs() % len(SPOKEN)]
    histories, said = [], torch.full((number, 7), WORDS.pad)
    for g in range(number):
        own = [WORDS.them, *drawn[g, :3].tolist(), WORDS.eos] if g % 2 else []
        histories.append([*own, WORDS.you, *drawn[g, 3 : 5 + g % 3].tolist(), WORDS.eos])
        words = [*drawn[g, 10 : 12 + g % 4].tolist(), WORDS.eos]
        said[g, : len(words)] = torch.tensor(words)
    width = max(map(len, histories)) + 4
    words = torch.full((number, width), WORDS.pad)
    for row, history in zip(words, histories, strict=True):
        row[: len(history)] = torch.tensor(history)
    gain = choice_gains(pairs[:, 0, ::2], pairs[:, 0, 1::2], pairs[:, 1, 1::2])
    return Talks(words, torch.tensor([len(h) for h in histories]), pairs[:, 1], gain), said


def test_gains_of_the_targets_choices() -> None:
    """S_adv - S_ori by plain enumeration; nothing for nobody without a deal."""
    counts, own, other = [1, 2, 3], [4, 0, 2], [1, 3, 1]
    gains = choice_gains(*(torch.tensor([v]) for v in (counts, own, other)))[0]
    for taken in itertools.product(*(range(c + 1) for c in counts)):
        mine = sum((c - t) * v for c, t, v in zip(counts, taken, own, strict=True))
        theirs = sum(t * v for t, v in zip(taken, other, strict=True))
        assert float(gains[int(split_index(torch.tensor(taken)))]) == mine - theirs
    assert gains[NO_DEAL:].tolist() == [0.0, 0.0]
    walking = choice_gains(*(torch.tensor([v]) for v in (counts, own, other)), walk_away=(3.0, 1.0))[0]
    assert walking[NO_DEAL:].tolist() == [2.0, 2.0] and torch.equal(walking[:NO_DEAL], gains[:NO_DEAL])


def test_decision_losses() -> None:
    """Eq. 3.10's margin, and the released program's form, on three choices of known logits and gains."""
    logits = torch.tensor([[2.0, 1.0, -torch.inf], [1.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    gain = torch.tensor([[-3.0, 4.0, 9.0], [-3.0, 4.0, 9.0], [-3.0, -4.0, 0.0]])
    assert decision_loss(logits, gain, "margin").tolist() == [1.0, -1.0, torch.inf]
    assert decision_loss(logits, gain, "gain").tolist() == [5.0 * 1.0 - 4.0, -4.0, torch.inf]


@pytest.mark.parametrize("stop", [-100.0, 0.0, 0.3])
@pytest.mark.parametrize("form", ["gain", "margin"])
def test_batched_and_plain_search_find_the_same(form: str, stop: float) -> None:
    made = model(scale=6.0)
    some, said = talks(5)
    search = WordSearch(Target(made), form, replacements=2, stop=stop, rows=33)  # type: ignore[arg-type]
    ours = search.reactive(some, said)
    plain = plain_reactive(made, some, said, form, replacements=2, stop=stop)  # type: ignore[arg-type]
    assert torch.equal(ours.words, plain.words)
    assert torch.equal(ours.queries, plain.queries)
    torch.testing.assert_close(ours.stop, plain.stop, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.loss, plain.loss, atol=1e-4, rtol=1e-4)
    assert not torch.equal(ours.words, said)  # else the search has shown nothing


def test_the_search_changes_what_it_may_only() -> None:
    """At most so many words of each utterance, never its end, and only to words that can be spoken."""
    made = model(scale=6.0)
    some, said = talks(12)
    for replacements in (0, 1, 2):
        found = WordSearch(Target(made), replacements=replacements, stop=-100.0).reactive(some, said)
        changed = found.words != said
        assert int(changed.sum(1).max()) <= replacements
        assert not (changed & (said == WORDS.eos)).any() and not (changed & (said == WORDS.pad)).any()
        assert set(found.words[changed].tolist()) <= set(SPOKEN)
        assert (found.queries == 1).all() if replacements == 0 else (found.queries > len(SPOKEN)).all()


def test_more_replacements_never_do_worse() -> None:
    some, said = talks(8)
    search = {n: WordSearch(Target(model(scale=6.0)), replacements=n, stop=-100.0) for n in (0, 1, 2)}
    losses = [search[n].reactive(some, said).loss for n in (0, 1, 2)]
    assert (losses[0] >= losses[1]).all() and (losses[1] >= losses[2]).all() and (losses[0] > losses[2]).any()


def test_dialogues_do_not_influence_one_another() -> None:
    made = model(scale=6.0)
    some, said = talks(6)
    search = WordSearch(Target(made), stop=-100.0)
    keys = rng.seed_tensor(range(6))
    together = search.reactive(some, said)
    replies = search.preemptive(some, said, keys, 0.5, 6, samples=3)
    for g in range(6):
        row = torch.tensor([g])
        assert torch.equal(search.reactive(some.take(row), said[row]).words, together.words[row])
        alone = search.preemptive(some.take(row), said[row], keys[row], 0.5, 6, samples=3)
        assert torch.equal(alone.words, replies.words[row])
        torch.testing.assert_close(alone.loss, replies.loss[row], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("form", ["gain", "margin"])
def test_batched_and_plain_preemptive_search_find_the_same(form: str) -> None:
    """Every candidate's reply sampled, read and judged by plain calls; what is kept, by the mean over replies."""
    made = model(scale=6.0)
    some, said = talks(4, seed=3)
    keys = rng.seed_tensor([7, 8, 9, 10])
    search = WordSearch(Target(made), form, replacements=1, rows=33)  # type: ignore[arg-type]
    ours = search.preemptive(some, said, keys, 0.5, 6, samples=3)
    plain = plain_preemptive(made, some, said, keys, 0.5, 6, 3, form, replacements=1)  # type: ignore[arg-type]
    assert torch.equal(ours.words, plain.words)
    assert torch.equal(ours.queries, plain.queries)
    torch.testing.assert_close(ours.stop, plain.stop, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.loss, plain.loss, atol=1e-3, rtol=1e-3)
    assert not torch.equal(ours.words, said)  # else the search has shown nothing


def test_the_constraint_is_the_models_own_next_word() -> None:
    """Eq. 3.9 of an utterance as it is: the logit of <selection> less the largest of other first words."""
    made = model(scale=6.0)
    some, said = talks(4)
    target = Target(made)
    baits = Baits.of(target, some, said)
    margins = baits.stop_margin(baits.unchanged())
    for g in range(4):
        history = some.words[g, : int(some.length[g])].tolist()
        words = [*history, WORDS.them, *(w for w in said[g].tolist() if w != WORDS.pad), WORDS.you]
        states, _ = made.read(made.goal(some.context[g : g + 1]), torch.tensor([words]))
        logits = made.next_word(states[0, -1])
        margin = logits[WORDS.selection] - logits[SPOKEN].max()
        assert float(margins[g]) == pytest.approx(float(margin.detach()), abs=1e-4)


def test_options_are_checked() -> None:
    target = Target(model())
    for wrong in ({"loss": "hinge"}, {"replacements": -1}, {"rows": 0}):
        with pytest.raises(SettingError):
            WordSearch(target, **wrong)  # type: ignore[arg-type]
