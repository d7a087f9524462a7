"""Which rows of a drop are taken in, which are set aside and why, and what changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.core.errors import ConfigError
from regraft.data import quarantine
from regraft.data.contract import Contract
from regraft.data.contract_file import DropQuality
from regraft.data.handoff import changes
from regraft.data.handoff.judge import Judged, judge
from regraft.data.handoff.known import Known
from regraft.data.options import TaskOptions
from regraft.data.rows import Row

TASK = TaskOptions()
RULES: dict[str, Any] = {
    "id": "own", "version": "1",
    "columns": [
        {"name": "id"}, {"name": "text", "max_length": 60}, {"name": "label", "valid_values": ("a", "b", "c")},
    ],
}  # fmt: skip
Values = dict[str, Any]


def rows(values: Sequence[Values], file: str = "drop.csv") -> list[Row]:
    return [Row(file, number, dict(each), (), dict(each)) for number, each in enumerate(values, start=2)]


def there(count: int = 40) -> list[Values]:
    return [{"id": f"r{n}", "text": f"sentence number {n}", "label": "abc"[n % 3]} for n in range(count)]


def judged(folder: Path, drop: Sequence[Values], known: Sequence[Values] = (), rules: Values = RULES, **kwargs: Any) -> Judged:
    contract = Contract.model_validate(rules).for_task(TASK)
    quality = [
        DropQuality.model_validate({"type": "custom", "engine": "regraft", "implementation": rule, "severity": severity})
        for rule, severity in kwargs.pop("quality", ())
    ]
    return judge(lambda: rows(drop), Known.of(rows(known), TASK), contract, quality, folder / "store", **kwargs)


def aside(judged: Judged) -> dict[str, str]:
    return {str(row.values.get("id")): "; ".join(fault.rule for fault in faults) for row, faults in judged.validated.quarantine()}


def test_edit_3_relabel_2_drop_1_is_exactly_that(tmp_path):
    drop = [dict(row) for row in there()]
    for row in drop[:3]:
        row["text"] += " edited"
    for row in drop[10:12]:
        row["label"] = "c" if row["label"] != "c" else "a"
    del drop[20]
    result = judged(tmp_path, drop, there())
    assert result.diff.totals() == {"added": 0, "removed": 1, "edited": 3, "relabelled": 2, "other": 0}
    assert (result.whole, result.counts, result.blocks) == (True, {"read": 39, "accepted": 39, "quarantined": 0}, [])
    by_rows = changes.diff(lambda: rows(there()), lambda: rows(drop), TASK)
    assert by_rows.totals() == result.diff.totals()
    assert [(change.id, change.kinds) for change in by_rows.rows] == [
        ("r20", ("removed",)), *((f"r{n}", ("edited",)) for n in range(3)), *((f"r{n}", ("relabelled",)) for n in (10, 11)),
    ]  # fmt: skip
    assert sorted(by_rows.relabelled.items()) == sorted(result.diff.relabelled.items())
    assert by_rows.labels_after == result.diff.labels_after
    assert by_rows.lengths == result.diff.lengths
    page = changes.markdown(by_rows, "1", "2")
    assert "1 row removed, 3 with another text, 2 with another label." in page


def test_a_few_new_rows_add_to_what_is_there(tmp_path):
    result = judged(tmp_path, [{"id": "n", "text": "new", "label": "a"}], there())
    assert (result.whole, result.diff.sentence()) == (False, "1 row added")
    assert list(result.new_rows(TASK)) == [{"id": "n", "text": "new", "label": "a"}]


def test_between_a_part_and_the_whole_nothing_is_guessed(tmp_path):
    half = there()[:20]
    with pytest.raises(ConfigError, match=r"20 of the 40 rows that are there \(50 %\), and nothing says whether the others go"):
        judged(tmp_path, half, there())
    assert judged(tmp_path / "add", half, there(), mode="add").diff.totals()["removed"] == 0
    assert judged(tmp_path / "all", half, there(), mode="replace").diff.totals()["removed"] == 20


def test_a_row_that_cannot_be_read_takes_no_row_out(tmp_path):
    broken = there()[1:]
    contract = Contract.model_validate(RULES).for_task(TASK)
    bad = Row("drop.csv", 99, {}, (quarantine.Fault("row.fields", None, None, "4 fields"),), ["r0", "x", "y", "z"])
    result = judge(lambda: [*rows(broken), bad], Known.of(rows(there()), TASK), contract, (), tmp_path)
    assert result.diff.totals()["removed"] == 0
    assert result.warnings == [
        "1 row that the drop lacks stays, because 1 row of it could not be read: correct it and hand the drop in again"
    ]


def test_a_row_that_is_set_aside_leaves_the_one_that_is_there(tmp_path):
    drop = [{**there()[0], "label": "z"}, {**there()[1], "text": "x" * 61}]
    result = judged(tmp_path, drop, there())
    assert aside(result) == {"r0": "label.valid_values", "r1": "text.max_length"}
    assert (bool(result.diff), result.replaced) == (False, {})


def test_a_text_that_is_there_already_is_set_aside_and_says_where(tmp_path):
    drop = [
        {"id": "n1", "text": "Sentence  NUMBER 3", "label": "a"},
        {"id": "n2", "text": "new", "label": "b"},
        {"id": "n3", "text": "new", "label": "b"},
    ]
    result = judged(tmp_path, drop, there())
    assert aside(result) == {"n1": "text.duplicate", "n3": "text.duplicate"}
    reasons = [fault.reason for _, faults in result.validated.quarantine() for fault in faults]
    assert reasons == ["repeats the row r3, which is there already", "repeats the row n2 of this drop"]


def test_one_text_with_different_labels_is_set_aside_together(tmp_path):
    texts = [("n1", "new", "a"), ("n2", "NEW", "b"), ("n3", "sentence number 3", "b"), ("n4", "fine", "b")]
    drop = [{"id": key, "text": text, "label": label} for key, text, label in texts]
    result = judged(tmp_path, drop, there(), budget=1.0)
    assert aside(result) == dict.fromkeys(("n1", "n2", "n3"), "text.conflict")
    assert result.counts == {"read": 4, "accepted": 1, "quarantined": 3}


def test_rows_that_were_there_are_not_judged_again(tmp_path):
    twins = [*there(), {"id": "t", "text": "sentence number 3", "label": "a"}]  # the same text and label as r3
    same = judged(tmp_path / "same", twins, twins)
    assert (bool(same.diff), aside(same)) == (False, {})
    both = [{**row, "label": "b"} if row["text"] == "sentence number 3" else row for row in twins]
    assert judged(tmp_path / "both", both, twins).diff.totals()["relabelled"] == 2
    one = judged(tmp_path / "one", [{"id": "t", "text": "sentence number 3", "label": "b"}], twins, budget=1.0)
    assert aside(one) == {"t": "text.conflict"}, "the other row of that text keeps its label"


def test_test_rows_win(tmp_path):
    def split_of(values: Values) -> Any:
        return "test" if values["id"] in ("r3", "n2", "n4") else "train"

    texts = {"n1": "sentence number 3", "n2": "sentence number 6", "n3": "a new one", "n4": "A new  one"}
    drop = [{"id": key, "text": text, "label": "a"} for key, text in texts.items()]
    result = judged(tmp_path, drop, there(), split_of=split_of, split_there=lambda place: split_of(there()[place]), budget=1.0)
    assert aside(result) == dict.fromkeys(("n1", "n3"), "text.contamination")
    assert [fault.reason for _, faults in result.validated.quarantine() for fault in faults] == [
        "repeats the test row r3, which is there already; it would be a train row, and the test row wins",
        "repeats the test row n4 of this drop; it would be a train row, and the test row wins",
    ]
    assert result.warnings == ["1 held-out row repeats a training row, which runs leave out from now on: n2 (r6)"]


def with_severity(column: str, rule: str, severity: str) -> Values:
    columns = [{**each, "severities": {rule: severity}} if each["name"] == column else each for each in RULES["columns"]]
    return {**RULES, "columns": columns}


def test_severities_decide_about_row_and_drop(tmp_path):
    drop = [{"id": "n1", "text": "x" * 61, "label": "a"}, {"id": "n2", "text": "fine", "label": "b"}]
    warned = judged(tmp_path / "warn", drop, rules=with_severity("text", "max_length", "warn"))
    assert warned.counts == {"read": 2, "accepted": 2, "quarantined": 0}
    assert warned.warnings == ["1 row breaks text.max_length, where every value has at most 60 characters; first drop.csv:2"]
    blocked = judged(tmp_path / "block", drop, rules=with_severity("text", "max_length", "block"), budget=1.0)
    assert [(problem["rule"], problem["row"]) for problem in blocked.blocks] == [("text.max_length", 2)]
    set_aside = judged(tmp_path / "aside", drop, budget=1.0)
    assert (aside(set_aside), set_aside.blocks) == ({"n1": "text.max_length"}, [])


def test_too_many_rows_set_aside_refuse_the_drop(tmp_path):
    drop = [{"id": f"n{n}", "text": "x" * 61 if n < 2 else f"new {n}", "label": "a"} for n in range(10)]
    [problem] = judged(tmp_path / "a", drop).blocks
    assert problem["message"] == "2 of 10 rows (20 %) are set aside; above 10 % the drop, not a row, is what is wrong"
    assert judged(tmp_path / "b", drop, budget=0.2).blocks == []
    assert judged(tmp_path / "c", drop, quality=[({"rule": "quarantined", "at_most": 0.3}, "block")]).blocks == []
    assert [problem["rule"] for problem in judged(tmp_path / "d", []).blocks] == ["drop.rows"]


@pytest.mark.parametrize(("rule", "words"), [
    ({"rule": "volume", "at_most": 1.05}, "40 rows become 43"),
    ({"rule": "source_share", "column": "source", "at_most": 0.5}, "67 % of the new rows have source 'mail'"),
    ({"rule": "freshness", "column": "made", "at_most": 30}, "the newest made is 2026-01-31, 59 days ago"),
    ({"rule": "label_shares", "at_most": 0.01}, "the share of 'a' goes from 35 % to 40 %"),
])  # fmt: skip
@pytest.mark.parametrize("severity", ["warn", "block"])
def test_rules_about_the_drop_as_a_whole(tmp_path, rule, words, severity):
    drop = [{"id": f"n{n}", "text": f"new {n}", "label": "a", "source": "mail" if n else "web", "made": "2026-01-31"} for n in range(3)]
    result = judged(tmp_path, drop, there(), quality=[(rule, severity)], now=datetime(2026, 3, 31, tzinfo=UTC))
    assert (result.warnings if severity == "warn" else [problem["message"] for problem in result.blocks]) == [words]


@pytest.mark.parametrize(("made", "words"), [
    (["2026-03-30", "01/02/2026", "2026-03-01"], "made holds '01/02/2026', which does not begin with a date such as 2026-01-31"),
    ([None, None, None], "no new row has a value in made"),
    (["2026-03-30", "2062-03-30", None], "the newest made is 2062-03-30, and that day has not come yet"),
])  # fmt: skip
@pytest.mark.parametrize("severity", ["warn", "block"])
def test_a_drop_whose_age_cannot_be_told_is_not_fresh(tmp_path, made, words, severity):
    drop = [{"id": f"n{n}", "text": f"new {n}", "label": "abc"[n], "made": day} for n, day in enumerate(made)]
    rule = {"rule": "freshness", "column": "made", "at_most": 30}
    result = judged(tmp_path, drop, there(), quality=[(rule, severity)], now=datetime(2026, 3, 31, tzinfo=UTC))
    told = result.warnings if severity == "warn" else [problem["message"] for problem in result.blocks]
    assert told == [f"how fresh the drop is cannot be told: {words}"]


VALUE = st.sampled_from(["", "r1", "r2", "r3", "r4", "x", "y" * 61])
DROP = st.lists(st.fixed_dictionaries({"id": VALUE, "text": VALUE, "label": st.sampled_from(["a", "b", "z", ""])}), max_size=12)


@settings(max_examples=12, deadline=None)  # Great Expectations takes 0.1 s
@given(DROP)
def test_read_is_accepted_and_quarantined_and_each_row_once(tmp_path_factory, drop):
    folder = tmp_path_factory.mktemp("identity")
    drop = [{name: text or None for name, text in row.items()} for row in drop]
    result = judged(folder, drop, there(4), mode="add")
    counts = result.counts
    assert counts["read"] == len(drop) == counts["accepted"] + counts["quarantined"]
    written = quarantine.write_quarantine(folder / "q.parquet", folder / "q.csv", result.validated, TASK)
    table = pd.read_parquet(folder / "q.parquet")
    assert len(table) == counts["quarantined"]
    assert table["row"].is_unique
    assert bool(written.by_rule) == bool(counts["quarantined"])


def test_a_formula_is_none_in_the_sheet_of_the_quarantine(tmp_path):
    drop = [{"id": '=HYPERLINK("http://x")', "text": "x" * 61, "label": "a"}, {"id": "-5", "text": "y" * 61, "label": "a"}]
    quarantine.write_quarantine(tmp_path / "q.parquet", tmp_path / "q.csv", judged(tmp_path, drop).validated, TASK)
    first, second = (tmp_path / "q.csv").read_text().splitlines()[1:]
    assert first.startswith("drop.csv,2,\"'=HYPERLINK")
    assert second.startswith("drop.csv,3,-5,")
    assert json.loads(pd.read_parquet(tmp_path / "q.parquet")["raw"][0])["id"].startswith("=HYPERLINK"), (
        "what was handed in stays as it was"
    )
