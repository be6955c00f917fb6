"""The end-to-end negotiator: its sizes, its decision by enumeration, its decoder against the module, its training."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.corpus import OUTPUTS, Corpus, Line
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.speech import free_words, own_words, turned
from advgames.dialogue.splits import NO_DEAL, split_index
from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import SettingError
from advgames.victims.choosing import Chooser, Tails
from advgames.victims.decoding import Decoder, _inverted, sample_words
from advgames.victims.negotiator import Negotiator, NegotiatorSizes, choice_logits
from advgames.victims.supervised import SupervisedRecipe, SupervisedTrainer, evaluate, supervised_loss

WORDS = Grammar().vocabulary
SMALL = NegotiatorSizes(word=12, goal=6, hidden=10, select=8, attention=7, dropout=0.0)


def model(seed: int = 0, scale: float = 4.0) -> Negotiator:
    """A small negotiator whose weights are large enough for its words to matter."""
    made = Negotiator(WORDS, SMALL, seed)
    with torch.no_grad():
        for weight in made.parameters():
            weight *= scale
    return made.eval()


def dialogues(number: int, width: int = 18, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random (contexts, words, lengths)."""
    keys = rng.seed_tensor(range(seed, seed + number))
    words = rng.bits(keys, "test.words", 0, (width,)).abs() % len(WORDS)
    lengths = 1 + rng.bits(keys, "test.lengths", 0, ()).abs() % width
    contexts = rng.bits(keys, "test.contexts", 0, (6,)).abs() % 4 + 1
    return contexts, words, lengths


def test_the_published_sizes() -> None:
    """1,631,277 parameters at 463 words, as the published model has."""
    vocabulary = Vocabulary([*WORDS.words, *(f"word{n}" for n in range(463 - len(WORDS)))])
    assert sum(p.numel() for p in Negotiator(vocabulary).parameters()) == 1_631_277


def test_weights_begin_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = Negotiator(WORDS, SMALL, seed=3).state_dict()
    torch.manual_seed(2)
    two, other = Negotiator(WORDS, SMALL, seed=3).state_dict(), Negotiator(WORDS, SMALL, seed=4).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert float(one["embedding.weight"].abs().max()) <= 0.1 and not one["reader.bias_ih_l0"].any()
    assert 0.1 < float(one["select_forward.weight_hh_l0"].abs().max()) <= SMALL.select**-0.5


def test_sizes_are_checked() -> None:
    for wrong in ({"word": 0}, {"dropout": 1.0}, {"hidden": -1}):
        with pytest.raises(SettingError):
            NegotiatorSizes(**wrong)


def test_choices_are_sums_of_six_logits() -> None:
    """Eq. 3.6 by plain enumeration of the splits."""
    outputs = rng.normal(rng.seed_tensor([0, 1, 2]), "test", 0, (6, len(OUTPUTS)))
    counts = torch.tensor([[1, 2, 3], [4, 1, 1], [2, 2, 2]])
    found = choice_logits(outputs, counts)
    assert found.shape == (3, NO_DEAL + 2)
    for g in range(3):
        legal = set()
        for taken in itertools.product(*(range(int(c) + 1) for c in counts[g])):
            names = [f"item{i}={n}" for i, n in enumerate(taken)]
            names += [f"item{i}={int(counts[g, i]) - n}" for i, n in enumerate(taken)]
            total = sum(float(outputs[g, head, OUTPUTS.index(name)]) for head, name in enumerate(names))
            index = int(split_index(torch.tensor(taken)))
            legal.add(index)
            assert float(found[g, index]) == pytest.approx(total, abs=1e-5)
        for index in set(range(NO_DEAL)) - legal:
            assert float(found[g, index]) == -math.inf
        for offset, tag in enumerate(("<no_agreement>", "<disconnect>")):
            total = sum(float(outputs[g, head, OUTPUTS.index(tag)]) for head in range(6))
            assert float(found[g, NO_DEAL + offset]) == pytest.approx(total, abs=1e-5)


def test_padding_changes_no_decision() -> None:
    made, (contexts, words, lengths) = model(), dialogues(6)
    noise = torch.where(torch.arange(18) < lengths[:, None], words, 5)
    one, two = (made.outputs(made.goal(contexts), *made.read(made.goal(contexts), w), lengths) for w in (words, noise))
    torch.testing.assert_close(one, two)
    for g in range(6):
        cut = words[g : g + 1, : int(lengths[g])]
        goal = made.goal(contexts[g : g + 1])
        alone = made.outputs(goal, *made.read(goal, cut), lengths[g : g + 1])
        torch.testing.assert_close(alone, one[g : g + 1], atol=1e-5, rtol=1e-5)


def test_the_decoder_is_the_module() -> None:
    made, (contexts, words, lengths) = model(), dialogues(5)
    decoder = Decoder(made)
    goal = decoder.goal(contexts)
    states, _ = made.read(made.goal(contexts), words)
    torch.testing.assert_close(decoder.states(decoder.begin(5), words, goal), states, atol=1e-5, rtol=1e-5)
    start = torch.tensor([0, 2, 1, 0, 0]).clamp(max=lengths)
    halfway = decoder.read(decoder.begin(5), words, torch.zeros_like(start), start, goal)
    last = decoder.read(halfway, words, start, lengths, goal)
    torch.testing.assert_close(last, states[torch.arange(5), lengths - 1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoder.next_word(states), made.next_word(states), atol=1e-5, rtol=1e-5)


def test_the_chooser_is_the_module() -> None:
    """Whole dialogues at once, and from any common beginning."""
    made, (contexts, words, lengths) = model(), dialogues(40)
    goal = made.goal(contexts)
    states, embedded = made.read(goal, words)
    wanted = choice_logits(made.outputs(goal, states, embedded, lengths), contexts[:, ::2])
    chooser = Chooser(made)
    torch.testing.assert_close(chooser.choose(contexts, words, lengths), wanted, atol=1e-4, rtol=1e-4)
    empty = chooser.choose(contexts, words, torch.zeros_like(lengths))  # read as one word
    torch.testing.assert_close(empty, chooser.choose(contexts, words, torch.ones_like(lengths)))
    assert chooser.choose(contexts[:0], words[:0], lengths[:0]).shape == (0, 127)
    base = chooser.base(goal, contexts[:, ::2], words, states)
    for cut in (0, 1, 5):
        rows = (lengths > cut).nonzero()[:, 0]
        place = torch.full_like(rows, cut)
        tails = Tails(rows, place, words[rows, cut:], states[rows, cut:], lengths[rows] - cut)
        torch.testing.assert_close(chooser.logits(base, tails), wanted[rows], atol=1e-4, rtol=1e-4)
    rows = torch.arange(40).repeat(7)  # more than are worked at once, of all dialogues and places mixed
    place = rng.bits(rng.seed_tensor(range(280)), "test.place", 0, ()).abs() % lengths[rows]
    following = (place[:, None] + torch.arange(18)).clamp(max=17)
    mixed = words[rows[:, None], following], states[rows[:, None], following]
    tails = Tails(rows, place, *mixed, lengths[rows] - place)
    torch.testing.assert_close(chooser.logits(base, tails), wanted[rows], atol=1e-4, rtol=1e-4)
    assert chooser.logits(base, tails.take(rows[:0])).shape == (0, 127)
    whole = Tails(rows[:40], lengths, *(part[:40] for part in mixed), torch.zeros_like(lengths))  # nothing follows
    torch.testing.assert_close(chooser.logits(base, whole), wanted, atol=1e-4, rtol=1e-4)


def test_words_are_sampled_as_their_logits_say() -> None:
    """20,000 draws of three words within four standard deviations of softmax(logits / T); banned words never."""
    logits = torch.tensor([0.3, -0.2, -torch.inf, 0.9])
    draws = rng.uniform(rng.seed_tensor([5]), "test", 0, (20_000,))[0]
    drawn = sample_words(logits.expand(20_000, 4), draws, temperature=0.5)
    wanted = torch.softmax(logits / 0.5, -1)
    share = torch.bincount(drawn, minlength=4) / 20_000
    assert float(share[2]) == 0.0
    assert ((share - wanted).abs() <= 4 * (wanted * (1 - wanted) / 20_000).sqrt()).all()
    assert torch.equal(sample_words(logits.expand(2, 4), draws[:2], 0.0), torch.tensor([3, 3]))


def test_a_word_that_may_not_be_said_is_never_sampled() -> None:
    """At the ends of the unit interval, where sums of chances that are 0 are reached too."""
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).expand(3, -1)
    draws = torch.tensor([0.0, 1 - 2**-24, 1.0])
    assert sample_words(logits, draws, 0.5).tolist() == [1, 3, 3]
    chances = torch.tensor([[0.25, 0.0, 0.75, 0.0]]).expand(3, -1)
    falling = torch.tensor([[0.25, 0.26, 0.99, 1.0]]).expand(3, -1)  # as no sum is that is added in order
    assert _inverted(chances, falling, torch.tensor([0.255, 0.995, 1.0])).tolist() == [2, 2, 2]


def test_utterances_are_those_of_each_alone_and_end() -> None:
    made, (contexts, _, _) = model(), dialogues(12)
    decoder = Decoder(made)
    goal, keys = decoder.goal(contexts), rng.seed_tensor(range(12))
    first, between, last = free_words(WORDS, torch.device("cpu"))

    def allowed(said: Tensor, n: int) -> Tensor:
        return first if n == 0 else last if n == 5 else between

    said, hidden = decoder.speak(decoder.begin(12), goal, keys, allowed, 6, 0.5)
    assert {WORDS.words[i] for i in said[:, 0].tolist()}.isdisjoint({"<eos>", "<pad>", "<unk>", "YOU:", "THEM:"})
    for g in range(12):
        words = [w for w in said[g].tolist() if w != WORDS.pad]
        assert words[-1] in (WORDS.eos, WORDS.selection) and words.count(WORDS.eos) + words.count(WORDS.selection) == 1
        one, after = decoder.speak(decoder.begin(1), goal.take(torch.tensor([g])), keys[g : g + 1], allowed, 6, 0.5)
        assert torch.equal(one[0], said[g])
        torch.testing.assert_close(after[0], hidden[g], atol=1e-5, rtol=1e-5)
        read = decoder.states(decoder.begin(1), torch.tensor([words]), goal.take(torch.tensor([g])))
        torch.testing.assert_close(read[0, -1], hidden[g], atol=1e-5, rtol=1e-5)


def test_who_said_what() -> None:
    text = ["YOU:", "i", "want", "1", "book", "<eos>", "THEM:", "deal", "<eos>", "YOU:", "<selection>"]
    words = torch.tensor([[*WORDS.encode(text, strict=True), WORDS.pad, WORDS.pad]])
    mine, before = own_words(words, torch.tensor([len(text)]), WORDS)
    assert [text[i] for i in mine[0].nonzero()[:, 0].tolist()] == ["i", "want", "1", "book", "<eos>", "<selection>"]
    assert before[0, : len(text)].tolist() == [-1, 0, 1, 2, 3, 4, -1, 0, 1, -1, 0]
    theirs, _ = own_words(turned(words, WORDS), torch.tensor([len(text)]), WORDS)
    assert [text[i] for i in theirs[0].nonzero()[:, 0].tolist()] == ["deal", "<eos>"]
    assert torch.equal(turned(turned(words, WORDS), WORDS), words)


def line(context: tuple[int, ...], words: str, outputs: str, partner: tuple[int, ...]) -> Line:
    """A side of a dialogue; one output stands for six."""
    named = outputs.split()
    return Line(context, tuple(words.split()), tuple(named * 6 if len(named) == 1 else named), partner)


ONE, OTHER = (1, 2, 2, 1, 2, 3), (1, 4, 2, 2, 2, 1)
DEAL = ("item0=0 item1=0 item2=2", "item0=1 item1=2 item2=0")
LINES = [
    line(ONE, "YOU: i want 2 balls <eos> THEM: deal <eos> YOU: <selection>", " ".join(DEAL), OTHER),
    line(OTHER, "THEM: i want 2 balls <eos> YOU: deal <eos> THEM: <selection>", " ".join(DEAL[::-1]), ONE),
    line(ONE, "YOU: no <eos> THEM: <selection>", "<no_agreement>", OTHER),
    line((2, 2, 2, 1, 2, 2), "YOU: deal <eos> THEM: <selection>", "<disagree>", (2, 4, 2, 1, 2, 0)),
]


def test_a_batch_without_an_outcome_is_no_number_over_zero() -> None:
    """Lines that ended in <disagree> have no weight; where a batch holds nothing else the outcome adds 0, not NaN."""
    made = model().requires_grad_(True)
    batch = Corpus.of(LINES[3:], WORDS)
    whole, words = supervised_loss(made, batch), supervised_loss(made, batch, select_weight=0.0)
    assert float(whole.detach()) == float(words.detach())
    whole.backward()  # type: ignore[no-untyped-call]
    assert all(bool(p.grad is None or p.grad.isfinite().all()) for p in made.parameters())
    losses = evaluate(made, batch)
    assert losses.outcome == 0.0 and losses.correct == 0.0 and math.isfinite(losses.perplexity)


def test_losses_are_those_of_each_line_alone() -> None:
    """Masked means: perplexity counts true words only, whatever the batch is padded to."""
    made, corpus = model(), Corpus.of(LINES, WORDS)
    alone = [evaluate(made, Corpus.of([line], WORDS)) for line in LINES]
    words = [len(line.words) - 1 for line in LINES]
    together = evaluate(made, corpus)
    assert together.word == pytest.approx(
        sum(a.word * n for a, n in zip(alone, words, strict=True)) / sum(words), rel=1e-5
    )
    assert together.outcome == pytest.approx(sum(a.outcome for a in alone[:3]) / 3, rel=1e-5)
    assert together.perplexity == pytest.approx(math.exp(together.word))


def test_the_learning_rates_of_the_recipe() -> None:
    rates = SupervisedRecipe().rates
    assert rates[:30] == [1.0] * 30 and rates[30:] == pytest.approx([0.2, 0.04])
    assert SupervisedRecipe(epochs=0).rates == []


def test_a_training_stopped_between_epochs_goes_on_exactly() -> None:
    corpus = Corpus.of(LINES, WORDS)
    recipe = SupervisedRecipe(epochs=3, batch_size=2, learning_rate=0.5)
    sizes = NegotiatorSizes(word=6, goal=4, hidden=5, select=4, attention=3, dropout=0.3)
    whole = SupervisedTrainer(Negotiator(WORDS, sizes), corpus, corpus, recipe)
    whole.run()
    first = SupervisedTrainer(Negotiator(WORDS, sizes), corpus, corpus, recipe)
    first.step()
    first.step()
    rest = SupervisedTrainer(Negotiator(WORDS, sizes, seed=9), corpus, corpus, recipe)
    rest.restore(*first.state())
    heard: list[int] = []
    rest.run(told=lambda epoch, epochs, losses: heard.append(epoch))
    assert heard == [3, 4, 5] and len(whole.history) == 5
    assert rest.history == whole.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


def test_annealing_starts_from_the_best_outcome() -> None:
    """After the epochs the weights of the lowest validation loss of the outcome are taken up."""
    corpus = Corpus.of(LINES, WORDS)
    less_likely = [LINES[0]._replace(outputs=("item0=1", "item1=1", "item2=1", "item0=0", "item1=1", "item2=1"))]
    wrong = Corpus.of(less_likely, WORDS)  # from epoch to epoch
    recipe = SupervisedRecipe(epochs=6, batch_size=2, learning_rate=0.3)
    trainer, again = (SupervisedTrainer(model(), corpus, wrong, recipe) for _ in range(2))
    for _ in range(6):
        trainer.step()
    best = min(range(6), key=lambda epoch: (trainer.history[epoch].outcome, -epoch))
    assert best < 5  # else this test shows nothing
    for _ in range(best + 1):
        again.step()
    for name, value in trainer.best.items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    trainer.step()  # the first epoch of annealing begins there
    again.epoch, again.best = 6, {name: value.clone() for name, value in again.model.state_dict().items()}
    again.step()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_another_vocabulary_is_refused() -> None:
    other = Vocabulary([*WORDS.words, "more"])
    corpus = Corpus.of(LINES, other)
    with pytest.raises(SettingError, match="words"):
        SupervisedTrainer(model(), corpus, corpus, SupervisedRecipe())
