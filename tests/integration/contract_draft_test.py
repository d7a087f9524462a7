"""``regraft contract infer`` and ``test``: what is drafted is a contract that its rows keep, and a contract is tried without a run."""

from __future__ import annotations

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from open_data_contract_standard.model import OpenDataContractStandard

from regraft.config.schema import schema
from regraft.data.contract_file import load_contract
from regraft.data.handoff.draft import draft
from regraft.data.options import TaskOptions
from regraft.data.rows import Row, present

VALUE = st.one_of(
    st.sampled_from(["yes", "007", "1.5", "null", "a: b", "# x", "'", '"', "é", "\u2028", "{}", "- a"]), st.text(min_size=1, max_size=9)
)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=8), VALUE)
def test_a_draft_is_a_contract_whatever_the_values_are(tmp_path_factory, pairs, column):
    path = tmp_path_factory.mktemp("draft") / "own.contract.yaml"
    rows = [
        Row("r", n, {"id": str(n), "text": present(text), "label": present(label), column.strip() or "x": label}, (), {})
        for n, (text, label) in enumerate(pairs)
        if label.isprintable() and text.isprintable() and column.isprintable()
    ]
    path.write_text(draft(rows, TaskOptions(), "own", "rows.csv"), encoding="utf8")
    if not rows:
        return
    jsonschema.validate(yaml.safe_load(path.read_text()), schema("contract"))
    OpenDataContractStandard.from_file(str(path))
    columns = {item["name"]: item for item in load_contract(path)["columns"]}
    assert set(columns["label"].get("valid_values", ())) == {row.values["label"] for row in rows if row.values["label"]}


def test_a_draft_keeps_its_rows_and_says_what_it_was_read_from(tiny, cli):
    said = cli("contract", "infer", "data/rows.jsonl", "--pipeline", "tiny")
    assert said.out.startswith("# A draft, read from 120 rows of data/rows.jsonl.\n")
    assert "- value: garden   # 40 rows" in said.out
    (tiny.root / "pipelines/tiny.contract.yaml").write_text(said.out)
    tried = cli("contract", "test", "pipelines/tiny.contract.yaml", "--json")
    assert (tried.code, tried.json["read"], tried.json["quarantined"], tried.json["by_rule"]) == (0, 120, 0, {})
    assert cli("plan", "tiny").code == 0, "the run takes it too"
    (tiny.root / "more.csv").write_text("id,text,label\nn1,the gull and the buoy near the wharf,harbor\nn2,x,harbour\n")
    other = cli("contract", "test", "pipelines/tiny.contract.yaml", "more.csv")
    assert other.code == 3
    assert "more.csv:2 label 'harbor' is not one of the 3 valid values; did you mean 'harbour'?" in other.out
    assert "2 of 2 rows (100 %) are set aside" in other.err


def test_what_the_columns_say_of_source_licence_and_time_becomes_a_rule(tiny, cli):
    header = "id,text,label,source,license,created\n"
    lines = [
        f"n{n},a row with number {n} in it,{'garden' if n % 2 else 'harbour'},{'web' if n % 3 else 'mail'},mit,2026-01-{1 + n % 9:02}"
        for n in range(30)
    ]
    (tiny.root / "rows.csv").write_text(header + "\n".join(lines) + "\n")
    text = cli("contract", "infer", "rows.csv").out
    assert "{rule: source_share, column: source, at_most: 0.8}" in text
    assert "# The newest date is 2026-01-09, " in text
    assert "{rule: freshness, column: created, at_most: " in text
    assert "{rule: volume, at_least: 0.9, at_most: 1.5}" in text
    (tiny.root / "rows.contract.yaml").write_text(text)
    assert cli("contract", "test", "rows.contract.yaml", "rows.csv", "--json").json["warnings"] == []
    (tiny.root / "other.csv").write_text(
        header + "\n".join(lines).replace("mail", "web").replace("2026-", "1999-").replace("mit", "gpl", 2) + "\n"
    )
    said = cli("contract", "test", "rows.contract.yaml", "other.csv")
    for words in ("license 'gpl' is not one of", "have source 'web'", "the newest created is 1999-01-09"):
        assert words in said.out, said.out


@pytest.mark.parametrize(("argv", "code", "text"), [
    (["infer", "nowhere.csv"], 3, "nowhere.csv is not there"),
    (["infer", "data/rows.jsonl", "--label", "team"], 3, "no column 'team'"),
    (["test", "nowhere.yaml"], 2, "nowhere.yaml is not there"),
    (["test", "other.contract.yaml"], 2, "no pipeline is called 'other'"),
])  # fmt: skip
def test_what_is_missing_is_said(tiny, cli, argv, code, text):
    (tiny.root / "other.contract.yaml").write_text("x")
    said = cli("contract", *argv)
    assert (said.code, text in said.err) == (code, True), said.err


def test_severities_of_rules_that_a_column_does_not_have_are_refused(tiny, cli):
    text = cli("contract", "infer", "data/rows.jsonl", "--pipeline", "tiny").out
    quality = "    quality: [{type: custom, engine: regraft, implementation: pattern, severity: warn}]\n"
    (tiny.root / "pipelines/tiny.contract.yaml").write_text(text.replace("  - name: label\n", f"  - name: label\n{quality}"))
    said = cli("contract", "test", "pipelines/tiny.contract.yaml")
    assert (said.code, "names the rule pattern, which label does not have" in said.err) == (2, True)
