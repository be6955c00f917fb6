"""The reader returns what dialogue files hold, and names the file and the line where they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advgames.dialogue.corpus import (
    AGREED,
    DISAGREE,
    DISCONNECT,
    NO_AGREEMENT,
    NUM_OUTPUTS,
    OUTPUTS,
    Corpus,
    Line,
    format_line,
    read_lines,
    read_scenarios,
)
from advgames.dialogue.vocabulary import Vocabulary
from advgames.errors import DataFileError

TALK = "YOU: i want 2 hats <eos> THEM: deal <eos> YOU: <selection>"
AGREED_LINE = Line(
    context=(1, 4, 3, 2, 1, 0),
    words=tuple(TALK.split()),
    outputs=("item0=0", "item1=2", "item2=0", "item0=1", "item1=1", "item2=1"),
    partner=(1, 10, 3, 0, 1, 0),
)
FAILED_LINE = Line((2, 1, 2, 2, 1, 4), ("THEM:", "<selection>"), ("<no_agreement>",) * 6, (2, 5, 2, 0, 1, 0))
TEXT = format_line(AGREED_LINE)
NAMES = [f"{name}.txt" for name in ("train", "val", "test")]


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "dialogues.txt"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_line_is_written_as_the_files_have_it_and_read_back(tmp_path: Path) -> None:
    assert (
        f"<input> 1 4 3 2 1 0 </input> <dialogue> {TALK} </dialogue> <output> item0=0 item1=2 item2=0 item0=1 item1=1 "
        "item2=1 </output> <partner_input> 1 10 3 0 1 0 </partner_input>"
    ) == TEXT
    path = written(tmp_path, TEXT, "", format_line(FAILED_LINE))
    assert read_lines(path) == [AGREED_LINE, FAILED_LINE]


def test_a_line_cut_anywhere_is_named(tmp_path: Path) -> None:
    for length in range(1, len(TEXT)):
        path = written(tmp_path, TEXT, "", TEXT[:length])
        with pytest.raises(DataFileError, match=r"dialogues\.txt, line 3: .*"):
            read_lines(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<input> ", "", "expected one part <input>"),
        ("</dialogue>", "", "expected one part <dialogue>"),
        ("<output>", "<output> <output>", "expected one part <output>"),
        ("<partner_input> 1 10 3 0 1 0 </partner_input>", "</partner_input> <partner_input>", "cut or damaged"),
        ("<input> 1 4 3 2 1 0 ", "<input> 1 4 3 2 1 ", "expected six numbers c0 v0 c1 v1 c2 v2, found 1 4 3 2 1"),
        ("<input> 1 4 3 2 1 0 ", "<input> ", "found nothing"),
        ("1 4 3 2 1 0", "1 4 3 2 1 -1", "expected six numbers"),
        ("1 4 3 2 1 0", "1 4 3 2 1 x", "expected six numbers"),
        ("1 4 3 2 1 0", "1 4 3 2 5 0", "at most 4 pieces"),
        ("1 4 3 2 1 0", "1 4 3 2 1 11", "values up to 10"),
        ("1 10 3 0 1 0", "1 10 2 0 1 0", "different counts, (1, 3, 1) and (1, 2, 1)"),
        ("YOU: i want", "i want", "begins with YOU: or THEM:, found i"),
        (TALK, "", "begins with YOU: or THEM:, found nothing"),
        ("YOU: <selection>", "YOU: deal", "a dialogue ends with <selection> or <eos>, found 'deal'"),
        ("item0=0", "item0=5", "expected six outputs"),
        ("item0=0", "<agree>", "expected six outputs"),
        ("item0=0 ", "", "expected six outputs such as item0=1 or <disagree>, found item1=2"),
    ],
)
def test_each_damage_has_its_own_words(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in TEXT
    path = written(tmp_path, TEXT, TEXT.replace(old, new, 1))
    with pytest.raises(DataFileError) as caught:
        read_lines(path)
    assert says in str(caught.value) and f"{path}, line 2:" in str(caught.value)


@pytest.mark.parametrize("reader", [read_lines, read_scenarios])
def test_files_that_are_missing_empty_or_no_text_are_named(reader: object, tmp_path: Path) -> None:
    assert callable(reader)
    empty, binary, absent = written(tmp_path, "", "  "), tmp_path / "binary.txt", tmp_path / "absent.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, says in (
        (empty, "found 0 lines|no dialogue in it"),
        (binary, "cannot be read"),
        (absent, "No such file"),
    ):
        with pytest.raises(DataFileError, match=says) as caught:
            reader(path)
        assert str(path) in str(caught.value) and "selfplay.txt" in str(caught.value)


def test_scenarios_are_pairs_of_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "1 4 3 2 1 0", "1 10 3 0 1 0", "2 1 2 2 1 4", "2 5 2 0 1 0")
    expected = [[[1, 4, 3, 2, 1, 0], [1, 10, 3, 0, 1, 0]], [[2, 1, 2, 2, 1, 4], [2, 5, 2, 0, 1, 0]]]
    assert read_scenarios(path).tolist() == expected


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["1 4 3 2 1 0", "1 10 3 0 1 0", "2 1 2 2 1 4"], "pairs of lines, found 3 lines"),
        (["1 4 3 2 1 0", "1 10 3 0 1"], "line 2: expected six numbers"),
        (["1 4 3 2 1 0", "1 10 3 0 1 0", "2 1 2 2 1 4", "1 5 2 0 1 0"], "lines 3 and 4 are one scenario"),
        (["1 4 3 2 1 0", "<input> 1 10 3 0 1 0"], "line 2: expected six numbers"),
        (["1 0 3 0 1 10", "", "1 10 3 0 1 1"], "line 3: all pieces together are worth 10 to a side, found 11"),
        (["0 1 0 1 0 1", "0 1 0 1 0 1"], "line 1: all pieces together are worth 10 to a side, found 0"),
        (["1 4 3 2 1 0", "1 12 3 0 1 0"], "line 2: expected at most 4 pieces of an item and values up to 10"),
    ],
)
def test_odd_scenarios_are_named(lines: list[str], says: str, tmp_path: Path) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(DataFileError, match=says) as caught:
        read_scenarios(path)
    assert str(path) in str(caught.value)


def test_outputs_are_counts_of_items_then_three_tags() -> None:
    assert OUTPUTS[:AGREED] == tuple(f"item{item}={n}" for item in range(3) for n in range(5))
    tags = (OUTPUTS[DISAGREE], OUTPUTS[NO_AGREEMENT], OUTPUTS[DISCONNECT])
    assert tags == ("<disagree>", "<no_agreement>", "<disconnect>") and NUM_OUTPUTS == 18


def test_a_corpus_holds_its_lines_as_numbers_the_shortest_first() -> None:
    vocabulary = Vocabulary.of([AGREED_LINE.words], 0)
    rare = AGREED_LINE._replace(words=("YOU:", "abracadabra", "<eos>", "THEM:", "<selection>"))
    corpus = Corpus.of([AGREED_LINE, FAILED_LINE, rare], vocabulary)
    assert len(corpus) == 3 and corpus.lengths.tolist() == [2, 5, 11]
    ordered = (FAILED_LINE, rare, AGREED_LINE)
    for row, line in enumerate(ordered):
        words = ["<unk>" if word == "abracadabra" else word for word in line.words]
        assert vocabulary.decode(corpus.tokens[row].tolist()) == words
        assert corpus.tokens[row, len(words) :].eq(vocabulary.pad).all()
        assert corpus.contexts[row].tolist() == list(line.context)
        assert [OUTPUTS[index] for index in corpus.outputs[row].tolist()] == list(line.outputs)
    taken = corpus.take(torch.tensor([1, 0]))
    assert taken.tokens.shape == (2, 5) and torch.equal(taken.tokens, corpus.tokens[[1, 0], :5])
    assert torch.equal(taken.outputs, corpus.outputs[[1, 0]]) and torch.equal(taken.contexts, corpus.contexts[[1, 0]])
    assert corpus.to("cpu").vocabulary is vocabulary


def test_the_real_files_hold_what_the_original_trainer_counted(data_root: Path) -> None:
    folder = data_root / "negotiate"
    train, val, test = (read_lines(folder / name) for name in NAMES)
    assert (len(train), len(val), len(test)) == (10_095, 1_087, 1_052)
    vocabulary = Vocabulary.of([line.words for line in train], 20)
    assert len(vocabulary) == 463
    counted = [(687_919, 8_718), (74_653, 914), (70_262, 847)]
    for lines, (total, unknown) in zip((train, val, test), counted, strict=True):
        corpus = Corpus.of(lines, vocabulary)
        words = int((corpus.tokens != vocabulary.pad).sum())
        assert int(corpus.lengths.sum()) == words
        assert words + 12 * len(lines) == total  # that trainer counts six numbers and six outputs a line as well
        assert int((corpus.tokens == vocabulary.unk).sum()) == unknown
    scenarios = read_scenarios(folder / "selfplay.txt")
    assert len(scenarios) == len(torch.unique(scenarios, dim=0)) == 4_086
    assert ((scenarios[:, :, ::2] * scenarios[:, :, 1::2]).sum(-1) == 10).all()
    sizes = scenarios[:, 0, ::2].sum(-1).bincount()
    assert sizes.nonzero()[:, 0].tolist() == [5, 6, 7]


def test_real_lines_are_written_as_they_stand_in_the_file(data_root: Path) -> None:
    path = data_root / "negotiate" / "test.txt"
    assert list(map(format_line, read_lines(path))) == path.read_text(encoding="utf-8").splitlines()
