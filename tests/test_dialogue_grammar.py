"""Acts become words and words acts, one meaning for each utterance, and no word leads to a dead end."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from advgames import rng
from advgames.dialogue.acts import ACCEPT, ASK, END, INFORM, INSIST, NUM_ACTS, PASS, PROPOSE, VALUES, describe_act
from advgames.dialogue.automaton import Network
from advgames.dialogue.corpus import read_lines
from advgames.dialogue.grammar import Grammar
from advgames.dialogue.phrases import language_words, wordings
from advgames.dialogue.splits import ITEMS, NO_DEAL, NUM_SPLITS
from advgames.dialogue.tagging import drift, kind_distribution, tag_kinds
from advgames.dialogue.vocabulary import SPECIAL, THEM, YOU, Vocabulary
from advgames.errors import SettingError

GRAMMAR = Grammar()
ACTS = torch.arange(NUM_ACTS)
MOST_WORDINGS = max(len(wordings(act)) for act in range(NUM_ACTS))

# The language restated, apart from the automaton: every utterance of an act, without its <eos>.
HEADS = ["", "i want", "i would like", "give me", "i need", "i take", "i'd like", "i'll take", "i will take", "gimme"]
HEADS += ["can i have"]
WORDS = {1: ["1", "one", "a", "the"], 2: ["2", "two", "both"], 3: ["3", "three"], 4: ["4", "four"]}
STOPS = ["", ".", "!"]
WORTH = {value: [str(value)] for value in range(11)}
WORTH |= {9: ["1 less than 10"], 0: ["0", "zero", "nothing"]}
WORTH |= {n: [str(n), name] for n, name in enumerate(("one", "two", "three", "four"), 1)}


def proposals(counts: tuple[int, ...]) -> Iterator[str]:
    taken = [item for item, n in enumerate(counts) if n]
    links = [""] if len(taken) == 3 else ["", "and", ","]
    tails = ["get", "take"] + ["can have"] * (len(taken) < 3)
    ends = [*STOPS, "?", *(f"{link} you {tail} the rest" for link, tail in product(links, tails))]
    for order in permutations(taken):
        pieces = [[f"{word} {ITEMS[i]}{'s' * (counts[i] > 1)}" for word in WORDS[counts[i]]] for i in order]
        for named, between in product(product(*pieces), product(["", "and", ","], repeat=len(order) - 1)):
            listed = named[0] + "".join(f" {link} {piece}" for link, piece in zip(between, named[1:], strict=True))
            yield from (f"{head} {listed} {end}" for head in HEADS for end in ends)


def informs(item: int, value: int) -> Iterator[str]:
    one, many = ITEMS[item], ITEMS[item] + "s"
    subjects = [f"{word} {one} is" for word in ("a", "the", "each", "1", "one")]
    subjects += [f"{word} {many} are" for word in ("", "the", "my")]
    units, owners = ["", "each", "point", "points", "points each"], ["", "to me", "for me"]
    worths = [f"worth {word} {unit}" for word in WORTH[value] for unit in units] + ["worthless"] * (value == 0)
    yield from map(" ".join, product(subjects, worths, owners, STOPS))


def utterances(act: int) -> set[tuple[str, ...]]:
    if PROPOSE < act < INSIST:
        index = act - PROPOSE
        found = proposals((index // 25, index // 5 % 5, index % 5))
    else:
        found = informs(*divmod(act - INFORM, VALUES))
    return {(*text.split(), "<eos>") for text in found}


def encoded(texts: list[tuple[str, ...]], vocabulary: Vocabulary) -> Tensor:
    rows = [torch.tensor(vocabulary.encode(words, strict=True)) for words in texts]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=vocabulary.pad)


def proposal(*counts: int) -> int:
    return PROPOSE + (counts[0] * 5 + counts[1]) * 5 + counts[2]


SAMPLED = [proposal(0, 0, 1), proposal(4, 0, 0), proposal(1, 0, 2), proposal(0, 3, 3), proposal(4, 3, 4)]
SAMPLED += [INFORM, INFORM + VALUES + 9, INFORM + 2 * VALUES + 1, INFORM + 2 * VALUES + 10]


def test_every_act_in_every_wording_is_read_back() -> None:
    for wording in range(MOST_WORDINGS):
        tokens = GRAMMAR.render(ACTS, wording)
        assert tokens.shape == (NUM_ACTS, GRAMMAR.max_words) and tokens.dtype == torch.int64
        assert torch.equal(GRAMMAR.parse(tokens), ACTS)
    drawn = rng.bits(ACTS, "wording", 0, ()).abs()
    assert torch.equal(GRAMMAR.parse(GRAMMAR.render(ACTS, drawn)), ACTS)


def test_wordings_are_counted_per_act_and_start_again_after_the_last() -> None:
    for act in range(NUM_ACTS):
        many = len(wordings(act))
        assert many >= (1 if act in (PASS, END) else 3 if act < INSIST else 2)
        rows = GRAMMAR.render(torch.full((2 * many,), act), torch.arange(2 * many))
        assert len(torch.unique(rows, dim=0)) == many and torch.equal(rows[:many], rows[many:])


@pytest.mark.parametrize(
    ("act", "wording", "text"),
    [
        (proposal(1, 2, 0), 0, "i want 1 book and 2 hats"),
        (proposal(1, 2, 3), 1, "i would like 1 book , 2 hats and 3 balls"),
        (proposal(0, 0, 4), 4, "i take 4 balls and you get the rest"),
        (proposal(0, 0, 0), 0, "you can have everything"),
        (INSIST, 0, "no i need what i said"),
        (ACCEPT, 0, "deal"),
        (ASK, 0, "what do you want ?"),
        (INFORM + VALUES + 3, 0, "a hat is worth 3 to me"),
        (INFORM + 9, 0, "a book is worth 1 less than 10 to me"),
        (END, 0, "<selection>"),
        (PASS, 0, ""),
    ],
)
def test_an_act_sounds_like_this(act: int, wording: int, text: str) -> None:
    tokens = GRAMMAR.render(torch.tensor([act]), wording)[0]
    assert GRAMMAR.say(tokens) == text == GRAMMAR.say(tokens.tolist())
    closed = act not in (PASS, END)
    assert int((tokens != GRAMMAR.vocabulary.pad).sum()) == len(text.split()) + closed
    assert (GRAMMAR.vocabulary.eos in tokens.tolist()) == closed


@pytest.mark.parametrize("act", SAMPLED, ids=describe_act)
def test_all_utterances_of_an_act_are_read_and_led_to_word_by_word(act: int) -> None:
    """After every beginning, the words offered are those of the enumerated utterances: no more, no fewer."""
    said = sorted(utterances(act))
    assert torch.equal(GRAMMAR.parse(encoded(said, GRAMMAR.vocabulary)), torch.full((len(said),), act))
    nodes: dict[tuple[str, ...], int] = {(): 0}
    ways = []
    for words in said:
        for length in range(len(words)):
            after = words[: length + 1]
            if after not in nodes:
                nodes[after] = len(nodes)
                ways.append((nodes[words[:length]], GRAMMAR.vocabulary.id(words[length]), length))
    before, word, depth = torch.tensor(ways).T
    expected = torch.zeros(len(nodes), len(GRAMMAR.vocabulary), dtype=torch.bool)
    expected[before, word] = True
    closed = [node for prefix, node in nodes.items() if prefix[-1:] == ("<eos>",)]
    expected[closed, GRAMMAR.vocabulary.pad] = True
    states = torch.full((len(nodes),), GRAMMAR.start)
    for length in range(int(depth.max()) + 1):
        here = (depth == length).nonzero()[:, 0]
        states[here + 1] = GRAMMAR.advance(states[before[here]], word[here])
    legal = (act == ACTS).expand(len(nodes), -1)
    assert torch.equal(GRAMMAR.next_words(states, legal), expected)


def test_words_for_several_acts_are_the_words_for_each() -> None:
    tokens = GRAMMAR.render(ACTS, ACTS)
    states = torch.full((len(tokens),), GRAMMAR.start)
    legal = rng.uniform(torch.arange(len(tokens)), "legal", 0, (NUM_ACTS,)) < 0.05
    for words in tokens.T:
        states = GRAMMAR.advance(states, words)
        union = torch.zeros(len(tokens), len(GRAMMAR.vocabulary), dtype=torch.bool)
        for act in range(NUM_ACTS):
            union |= GRAMMAR.next_words(states, (act == ACTS).expand(len(tokens), -1)) & legal[:, act, None]
        assert torch.equal(GRAMMAR.next_words(states, legal), union)


def test_a_speaker_who_keeps_to_the_words_offered_ends_in_a_legal_act() -> None:
    matches = torch.arange(500)
    legal = rng.uniform(matches, "legal", 0, (NUM_ACTS,)) < rng.uniform(matches, "share", 0, (1,))
    legal[:, PASS] = False
    legal[matches, matches % (NUM_ACTS - 1) + 1] = True
    states, spoken = torch.full((500,), GRAMMAR.start), []
    for length in range(GRAMMAR.max_words):
        allowed = GRAMMAR.next_words(states, legal)
        assert allowed.any(-1).all()
        assert not allowed[:, [GRAMMAR.vocabulary.unk, GRAMMAR.vocabulary.you, GRAMMAR.vocabulary.them]].any()
        words = (rng.uniform(matches, "word", length, (len(GRAMMAR.vocabulary),)) * allowed).argmax(-1)
        states = GRAMMAR.advance(states, words)
        spoken.append(words)
    acts = GRAMMAR.parse(torch.stack(spoken, 1))
    assert legal[matches, acts.clamp(min=0)].all() and (acts > 0).all()


def test_where_nothing_is_legal_no_word_is_and_a_pass_is_padding() -> None:
    states = torch.full((2,), GRAMMAR.start)
    legal = torch.zeros(2, NUM_ACTS, dtype=torch.bool)
    legal[1, PASS] = True
    allowed = GRAMMAR.next_words(states, legal)
    assert not allowed[0].any() and allowed[1].nonzero().tolist() == [[GRAMMAR.vocabulary.pad]]


def test_sixteen_words_are_the_most_and_the_longest_utterance_has_them() -> None:
    longest = "can i have 1 book and 2 hats and 3 balls you get the rest <eos>"
    words = tuple(longest.split())
    assert GRAMMAR.max_words == len(words) == 16
    assert int(GRAMMAR.parse(encoded([words], GRAMMAR.vocabulary))) == proposal(1, 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "i want 1 book",  # not closed
        "i want 1 books <eos>",
        "i want 2 hats and 1 hat <eos>",
        "i want 2 hats and <eos>",
        "i want <eos>",
        "deal <eos> deal <eos>",
        "<eos>",
        "<selection> <eos>",
        "deal <selection>",
        "<pad> deal <eos>",
        "you get the rest <eos>",
        "a hat is worth 1 less <eos>",
        "<unk> <eos>",
        "YOU: deal <eos>",
    ],
)
def test_what_is_not_of_the_language_is_no_act(text: str) -> None:
    assert int(GRAMMAR.parse(encoded([tuple(text.split())], GRAMMAR.vocabulary))) == -1


def test_word_soup_is_no_act_or_one_and_each_utterance_is_read_as_it_would_be_alone() -> None:
    size = len(GRAMMAR.vocabulary)
    soup = rng.bits(torch.arange(2000), "soup", 0, (5,)) % (size + 3) - 1  # ids -1, V and V + 1 among them
    soup[:, 1:] = torch.where(rng.uniform(torch.arange(2000), "end", 0, (4,)) < 0.5, 0, soup[:, 1:])
    rendered = GRAMMAR.render(ACTS)
    place = rng.bits(torch.arange(NUM_ACTS), "place", 0, ()) % 6
    damaged = rendered.scatter(1, place[:, None], soup[:NUM_ACTS, :1])
    for tokens in (soup, damaged):
        acts = GRAMMAR.parse(tokens)
        assert (acts >= -1).all() and (acts < NUM_ACTS).all() and (acts == -1).any()
        assert acts.tolist() == [int(GRAMMAR.parse(row[None])) for row in tokens]
    strange = rendered.masked_fill(rendered == GRAMMAR.vocabulary.eos, -1)  # next to the id of <eos>
    assert (GRAMMAR.parse(strange)[1:END] == -1).all() and (GRAMMAR.parse(rendered + size) == -1).all()
    assert GRAMMAR.parse(torch.zeros(3, 0, dtype=torch.int64)).tolist() == [PASS] * 3
    assert GRAMMAR.parse(torch.full((2, 4), GRAMMAR.vocabulary.pad)).tolist() == [PASS] * 2


def test_a_larger_vocabulary_says_and_reads_the_same() -> None:
    others = [f"word{n}" for n in range(50)]
    wide = Grammar(Vocabulary([*SPECIAL, *others, THEM, *reversed(language_words()), YOU]))
    for wording in range(MOST_WORDINGS):
        tokens = wide.render(ACTS, wording)
        assert torch.equal(wide.parse(tokens), ACTS)
        assert list(map(wide.say, tokens)) == list(map(GRAMMAR.say, GRAMMAR.render(ACTS, wording)))
    allowed = wide.next_words(torch.tensor([wide.start]), torch.ones(1, NUM_ACTS, dtype=torch.bool))[0]
    here = GRAMMAR.next_words(torch.tensor([GRAMMAR.start]), torch.ones(1, NUM_ACTS, dtype=torch.bool))[0]
    found = {wide.vocabulary.words[index] for index in allowed.nonzero()[:, 0]}
    assert found == {GRAMMAR.vocabulary.words[index] for index in here.nonzero()[:, 0]}


def test_a_vocabulary_without_the_words_is_refused_and_the_missing_ones_are_named() -> None:
    words = [word for word in language_words() if word not in ("hat", "worth")]
    with pytest.raises(SettingError, match="does not hold: hat worth"):
        Grammar(Vocabulary([*SPECIAL, YOU, THEM, *words]))


def test_words_with_two_meanings_are_refused() -> None:
    net = Network()
    net.link(0, "a hat", net.state(1))
    net.link(0, "a hat", net.state(2))
    with pytest.raises(SettingError, match="mean 1 and 2"):
        net.deterministic()


def test_a_copy_on_a_device_reads_as_the_original() -> None:
    for copy in (GRAMMAR.to("cpu"), pickle.loads(pickle.dumps(GRAMMAR))):
        assert torch.equal(copy.parse(copy.render(ACTS, 1)), ACTS) and copy.vocabulary == GRAMMAR.vocabulary
    assert GRAMMAR.to("meta").render(torch.zeros(3, dtype=torch.int64, device="meta")).device.type == "meta"
    assert GRAMMAR.render(ACTS[:1]).device.type == "cpu"


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("Hi, I want two hats and 0 balls.", proposal(0, 2, 0)),
        ("No, I need 3 hats!", proposal(0, 3, 0)),
        ("I'd like 2 book and 1 hats, please", proposal(2, 1, 0)),
        ("i want the 3 books, and 2 of the balls. Thank you!", proposal(3, 0, 2)),
        ("OK I'll take 1 book, you can have the rest.", proposal(1, 0, 0)),
        ("I’d like the ball", proposal(0, 0, 1)),
        ("Can I have both hats?", proposal(0, 2, 0)),
        ("i want 9 hats", -1),
        ("i don't want 2 hats", -1),
        ("deal, no hats", -1),
        ("Deal!", ACCEPT),
        ("ok, deal", ACCEPT),
        ("well, no deal", INSIST),
        ("no, deal", INSIST),
        ("What do you want?", ASK),
        ("a hat is worth nine to me", INFORM + VALUES + 9),
        ("a hat is worth 9 to me", INFORM + VALUES + 9),
        ("The balls are worthless to me", INFORM + 2 * VALUES),
        ("<selection>", END),
        ("xyzzy 1", -1),
        ("...", -1),
        ("<pad>", None),
        ("  ", None),
        ("", None),
        ("ok " * 5000, -1),
        ("9" * 5000 + " hats", -1),
        ("²³ hats ٣ 🎩 \x00", -1),
    ],
)
def test_a_person_may_write_it_like_this(text: str, act: int | None) -> None:
    ids = GRAMMAR.read(text)
    if act is None or ids is None:
        assert ids is None and act is None
    else:
        assert int(GRAMMAR.parse(torch.tensor([ids]))) == act
        assert ids[-1] == (GRAMMAR.vocabulary.selection if act == END else GRAMMAR.vocabulary.eos)


def test_what_the_grammar_says_is_read_word_for_word() -> None:
    for tokens in GRAMMAR.render(ACTS[1:], 2):
        assert GRAMMAR.read(GRAMMAR.say(tokens)) == tokens[tokens != GRAMMAR.vocabulary.pad].tolist()


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1 book 2 hats", (1, 2, 0)),
        ("I choose one book and the 2 hats.", (1, 2, 0)),
        ("item0=1 item1=2 item2=0", (1, 2, 0)),
        ('{"book": 1, "hat": 2, "ball": 0}', (1, 2, 0)),
        ("book=1, hats = 2", (1, 2, 0)),
        ("the book and both hats", (1, 2, 0)),
        ("no books, 2 hats", (0, 2, 0)),
        ("Nothing.", (0, 0, 0)),
        ("0 books 0 hats 0 balls", (0, 0, 0)),
        ("everything", (1, 2, 3)),
        ("2 books", None),  # there is one
        ("book=50", None),
        ("item3=1", None),
        ("item0=1 item0=1", None),
        ("1 hat 1 hat", None),
        ("hats", None),
        ("2", None),
        ("1 2 0", None),
        ("no i want 1 hat", None),
        ("", None),
        ("9" * 5000 + " hats", None),
        ("hat=" + "9" * 5000, None),
    ],
)
def test_a_choice_may_be_written_like_this(text: str, items: tuple[int, int, int] | None) -> None:
    expected = None if items is None else proposal(*items) - PROPOSE
    assert GRAMMAR.read_choice(text, (1, 2, 3)) == expected


def test_choices_are_said_as_they_are_read() -> None:
    for choice in range(NO_DEAL + 1):
        assert GRAMMAR.read_choice(GRAMMAR.say_choice(choice), (4, 4, 4)) == choice
    for text in ("no deal", "No Deal.", "<no_agreement>", " no  agreement "):
        assert GRAMMAR.read_choice(text, (1, 2, 3)) == NO_DEAL
    for choice in (-1, NO_DEAL + 1):
        with pytest.raises(SettingError, match="a choice is a split from 0 to 124 or 125"):
            GRAMMAR.say_choice(choice)
    assert NUM_SPLITS == NO_DEAL == 125


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("if i can have the book and the hats you can have the balls <eos>", "propose"),
        ("balls and hats for me", "propose"),
        ("i can't give up the hat , sorry", "propose"),
        ("nah , that will not work", "insist"),
        ("agreed , no deal", "insist"),
        ("okay that works for me . thank you !", "accept"),
        ("are you sure ?", "ask"),
        ("the books are the only thing worth anything", "inform"),
        ("i love reading", "other"),
        ("<selection>", "end"),
        ("<pad> <pad>", "pass"),
        ("YOU: deal <eos>", "accept"),
    ],
)
def test_free_text_has_the_kind_that_its_words_suggest(text: str, kind: str) -> None:
    assert tag_kinds(text.split()) == kind


def test_what_the_grammar_says_has_the_kind_of_its_act() -> None:
    for act in range(NUM_ACTS):
        for text in wordings(act):
            assert tag_kinds(text.split()) == (describe_act(act).split("(")[0])


def test_drift_is_the_total_variation_distance() -> None:
    mine = kind_distribution([["deal"], ["deal", "<eos>"], ["i", "want", "2", "hats"], ["<selection>"], []])
    yours = kind_distribution([["deal"], ["what", "do", "you", "want", "?"]])
    assert mine == {"propose": 0.25, "insist": 0, "accept": 0.5, "ask": 0, "inform": 0, "end": 0.25, "other": 0}
    assert drift(mine, yours) == drift(yours, mine) == 0.5  # 1/2 (1/4 + 0 + 1/4 + 1/2)
    assert drift(mine, mine) == 0 and drift({"ask": 1.0}, {"end": 1.0}) == 1
    assert sum(kind_distribution([]).values()) == 0


def test_the_grammar_speaks_within_the_words_of_the_real_dialogues(data_root: Path) -> None:
    lines = read_lines(data_root / "negotiate" / "train.txt")
    grammar = Grammar(Vocabulary.of([line.words for line in lines], 20))
    assert len(grammar.vocabulary) == 463
    for wording in range(MOST_WORDINGS):
        tokens = grammar.render(ACTS, wording)
        assert torch.equal(grammar.parse(tokens), ACTS)
        assert list(map(grammar.say, tokens)) == list(map(GRAMMAR.say, GRAMMAR.render(ACTS, wording)))
    said = sorted(utterances(SAMPLED[2]))
    assert (grammar.parse(encoded(said, grammar.vocabulary)) == SAMPLED[2]).all()
