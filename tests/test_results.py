"""Specs, records and the results directory: validated, append-only, never mixed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from advgames.errors import ConfigError, ResultsMismatchError, SettingError, UnknownNameError
from advgames.results import MatchRecord, Results
from advgames.spec import MatchSpec, TournamentSpec, parse_yaml

SPEC = TournamentSpec(
    task="linear-regression",
    players={"attacker": ["level-0", "level-1"], "defender": ["level-0", "level-1"]},
    seeds=[0, 1],
)


def record(match: MatchSpec, payoff: float = 1.0) -> MatchRecord:
    return MatchRecord(
        id=match.id, **match.model_dump(), payoffs={"attacker": payoff, "defender": -payoff}, measures={}
    )


def test_a_spec_survives_yaml(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(SPEC.to_yaml())
    assert TournamentSpec.from_yaml(tmp_path / "t.yaml") == SPEC


def test_numbers_in_yaml_are_numbers_however_they_are_written() -> None:
    text = "{a: 1e-3, b: 2E5, c: -1.5e+2, d: 1.0e-3, e: '1e3', f: 1e-3x, g: 3, h: e3}"
    expected = {"a": 1e-3, "b": 2e5, "c": -150.0, "d": 1e-3, "e": "1e3", "f": "1e-3x", "g": 3, "h": "e3"}
    assert parse_yaml(text) == expected
    assert yaml.safe_load("1e-3") == "1e-3"  # PyYAML itself is left as it is


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("task: digits\nplayrs: {}\n", UnknownNameError, "did you mean 'players'"),
        ("task: [digits\n", ConfigError, "not valid YAML"),
        ("- digits\n", ConfigError, "expected a mapping"),
        ("task: digits\nplayers: {attacker: [a]}\n", SettingError, "two players"),
        ("task: digits\nplayers: {attacker: [a, a], defender: [b]}\n", SettingError, "distinct"),
        ("task: digits\nplayers: {attacker: [a], defender: [b]}\nseeds: [1, 1]\n", SettingError, "distinct"),
        ("task: digits\nplayers: {attacker: [a], defender: [b]}\nseeds: 0\n", SettingError, "at least one"),
        ("task: digits\nplayers: {attacker: [a], defender: [b]}\nseeds: [-1]\n", SettingError, "seeds"),
        (
            "task: digits\nplayers: {attacker: [a], defender: [b]}\nseeds: [9223372036854775808]\n",
            SettingError,
            "seeds",
        ),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(error, match=says) as caught:
        TournamentSpec.from_yaml(tmp_path / "t.yaml")
    assert "t.yaml" in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read"):
        TournamentSpec.from_yaml(tmp_path / "nothing.yaml")


def test_ids_tell_matches_apart_and_batch_keys_ignore_seed_and_radius_only() -> None:
    base: dict[str, Any] = {"task": "digits", "players": {"attacker": "level-1", "defender": "null"}}
    first = MatchSpec(**base)
    assert first.id == MatchSpec(**base).id and hash(first) == hash(MatchSpec(**base))
    same_batch = [MatchSpec(**base, seed=3), MatchSpec(**base, settings={"epsilon": 2.0})]
    other_batch = [MatchSpec(**{**base, "task": "mnist"}), MatchSpec(**base, settings={"norm": "linf"})]
    assert all(m.batch_key == first.batch_key and m.id != first.id for m in same_batch)
    assert all(m.batch_key != first.batch_key for m in other_batch)


def test_records_come_back_whole_and_in_the_tournament_s_order(tmp_path: Path) -> None:
    results = Results.create(tmp_path, SPEC)
    matches = list(SPEC.matches())
    assert len(matches) == 8 and results.missing() == matches
    results.append(record(m, float(i)) for i, m in reversed(list(enumerate(matches))))
    reopened = Results.open(tmp_path)
    assert [r.payoffs["attacker"] for r in reopened.records()] == list(range(8))
    assert reopened.missing() == [] and reopened.records()[5].spec == matches[5]
    assert reopened.empirical_game().payoff.tolist() == [[0.5, 2.5], [4.5, 6.5]]


def test_a_line_cut_by_a_kill_is_dropped_and_its_match_is_missing(tmp_path: Path) -> None:
    results = Results.create(tmp_path, SPEC)
    matches = list(SPEC.matches())
    results.append([record(matches[0]), record(matches[1])])
    file = tmp_path / "records.jsonl"
    file.write_bytes(file.read_bytes()[:-7])
    assert [r.id for r in Results.open(tmp_path).records()] == [matches[0].id]
    resumed = Results.create(tmp_path, SPEC, resume=True)
    resumed.append([record(matches[1])])
    assert [r.id for r in resumed.records()] == [m.id for m in matches[:2]]


def test_a_directory_of_another_tournament_is_refused_and_untouched(tmp_path: Path) -> None:
    Results.create(tmp_path, SPEC).append([record(next(iter(SPEC.matches())))])
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    other = SPEC.model_copy(update={"seeds": [0, 1, 2]})
    with pytest.raises(ResultsMismatchError, match=r"seeds is \[0, 1\], not \[0, 1, 2\]"):
        Results.create(tmp_path, other, resume=True)
    with pytest.raises(ResultsMismatchError, match="holds a tournament already"):
        Results.create(tmp_path, SPEC)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_altered_and_foreign_records_are_noticed(tmp_path: Path) -> None:
    results = Results.create(tmp_path, SPEC)
    match = next(iter(SPEC.matches()))
    line = record(match).to_json()
    for altered, says in (({**line, "seed": 1}, "no match of this tournament"), ({**line, "payofs": {}}, "payofs")):
        (tmp_path / "records.jsonl").write_text(json.dumps(altered) + "\n")
        with pytest.raises((ResultsMismatchError, UnknownNameError), match=says):
            results.records()
    (tmp_path / "records.jsonl").write_text("{not json}\n")
    with pytest.raises(ResultsMismatchError, match="line 1 is damaged"):
        results.records()


def test_who_has_the_rows_is_part_of_the_tournament(tmp_path: Path) -> None:
    Results.create(tmp_path, SPEC)
    turned = SPEC.model_copy(update={"players": dict(reversed(SPEC.players.items()))})
    with pytest.raises(ResultsMismatchError, match="players"):
        Results.create(tmp_path, turned, resume=True)
    assert hash(SPEC) == hash(SPEC.model_copy()) and SPEC.id != turned.model_copy(update={"seeds": [5]}).id


def test_a_diverged_match_is_recorded_as_null_and_named_when_the_table_is_asked_for(tmp_path: Path) -> None:
    results = Results.create(tmp_path, SPEC)
    matches = list(SPEC.matches())
    results.append([*(record(m) for m in matches[:-1]), record(matches[-1], float("nan"))])
    assert "NaN" not in (tmp_path / "records.jsonl").read_text()
    assert [r.diverged for r in results.records()] == [False] * 7 + [True]
    with pytest.raises(SettingError, match=r"level-1 vs level-1 \(seed 1\)"):
        results.empirical_game()


def test_a_folder_without_a_tournament_is_no_results_directory(tmp_path: Path) -> None:
    with pytest.raises(ResultsMismatchError, match=r"no tournament\.yaml"):
        Results.open(tmp_path)
