"""The step ``contract`` on hand-ins as people send them: Great Expectations really runs."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2]))

from regraft.config.pipeline import PipelineContext, PipelineOptions
from regraft.core import files
from regraft.core.errors import ConfigError, DataRejected, EnvironmentFault, RegraftError
from regraft.core.progress import Running, running
from regraft.data import validation
from regraft.data.contract import Contract, default_contract
from regraft.data.contract_file import load_contract
from regraft.data.documents import read_corpus
from regraft.data.options import SplitOptions, TaskOptions
from regraft.data.rows import Row
from regraft.data.sources import Source
from regraft.data.splitting import read_texts, split_rows
from regraft.data.validation import validate
from regraft.execution.step import Step
from tasks.contract import CONTRACT, ContractConfig
from tasks.corpus import CORPUS
from tasks.splits import SPLITS

DEMO = Path(__file__).parents[2] / "pipelines" / "demo.contract.yaml"
LABELS = ("blue", "green", "red")
RULES = {
    "id": "own", "version": "1",
    "columns": [
        {"name": "id", "required": True, "unique": True},
        {"name": "text", "required": True, "min_length": 5, "max_length": 60, "pattern": "[a-z]"},
        {"name": "label", "required": True, "valid_values": LABELS},
    ],
}  # fmt: skip
Rows = list[dict[str, Any]]


def context(rules: dict[str, Any] | None = RULES, split: str | None = None) -> PipelineContext:
    data = {"corpus": "c.txt", "labelled": "own/rows.csv", "split": split}
    options = PipelineOptions.model_validate({"version": 1, "base_model": "models/x", "data": data})
    return PipelineContext("own", options, "", rules or default_contract(options.task))


def good(count: int = 60) -> Rows:
    return [{"id": f"r{n}", "text": f"sentence number {n} of {LABELS[n % 3]}", "label": LABELS[n % 3]} for n in range(count)]


def hand_in(folder: Path, rows: Rows) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(folder: Path, labelled: Path, rules: dict[str, Any] | None = RULES, split: str | None = None) -> Path:
    out = empty(folder / "contract")
    CONTRACT.run(ContractConfig.of(context(rules, split)), {"labelled": labelled}, out)
    return out


def test_rows_without_ids_get_them_of_their_texts_and_keep_their_split_when_the_file_is_sorted_anew(tmp_path):
    rows = [{"text": row["text"], "label": row["label"]} for row in good()] + [good()[7] | {"label": "red"}, {"text": "", "label": "red"}]
    rows = [{"text": row["text"], "label": row["label"]} for row in rows]

    def splits(folder: Path, ordered: Rows) -> dict[str, str]:
        folder.mkdir()
        data = {"labelled": "own/rows.csv"}
        options = PipelineOptions.model_validate({"version": 1, "base_model": "models/x", "data": data, "task": {"id": None}})
        made = PipelineContext("own", options, "", default_contract(options.task))
        CONTRACT.run(ContractConfig.of(made), {"labelled": hand_in(folder, ordered)}, out := empty(folder / "contract"))
        dealt = split_rows(read_texts(out / "texts.parquet"), None, SplitOptions(), 17).splits
        accepted = pd.read_parquet(out / "rows.parquet").set_index("id")
        assert list(accepted.columns) == ["text", "label"]
        assert accepted["text"].value_counts().max() == 2
        assert files.read_json(out / "counts.json")["by_rule"] == {"text.required": 1}
        return {accepted["text"][key]: split for key, split in dealt.items() if "-" not in key}

    before = splits(tmp_path / "one", rows)
    assert len(before) in (59, 60)  # of two rows with one text, one stays
    assert (
        splits(tmp_path / "two", rows[::-1]).items() >= {text: split for text, split in before.items() if text != good()[7]["text"]}.items()
    )


def test_a_label_that_templates_expect_and_no_row_has_ends_the_step(tmp_path):
    asked = replace(context(), named={"templates": [{"name": "one", "texts": ["a"], "label": "gardn"}, {"name": "two"}]})
    config = ContractConfig.of(asked)
    assert config.expected == ("gardn",)
    assert "expected" not in ContractConfig.of(context()).model_dump(), "no key, and so no other fingerprint, where nothing is expected"
    labelled, out = hand_in(tmp_path, good()), empty(tmp_path / "contract")
    with pytest.raises(ConfigError, match="a test expects the label 'gardn', which no labelled row has"):
        CONTRACT.run(config, {"labelled": labelled}, out)
    assert not any(out.iterdir())
    known = ContractConfig.of(replace(asked, named={"templates": [{"name": "one", "texts": ["a"], "label": LABELS[0]}]}))
    CONTRACT.run(known, {"labelled": labelled}, out)
    assert json.loads((out / "labels.json").read_text()) == sorted(LABELS)


def quarantined(out: Path) -> dict[str, tuple[int, str, str]]:
    table = pd.read_parquet(out / "quarantine.parquet")
    return {str(item.id): (int(item.row), item.rule, item.reason) for item in table.itertuples()}


def test_each_rule_names_its_row_and_says_what_is_wrong(tmp_path):
    rows = good()
    rows[3]["text"] = "tiny"
    rows[4]["text"] = "long " * 30
    rows[5]["text"] = "12345 67890"
    rows[6]["label"] = "gren"
    out = run(tmp_path, hand_in(tmp_path, rows))
    assert quarantined(out) == {
        "r3": (5, "text.min_length", "text has 4 characters, at least 5 are needed: 'tiny'"),
        "r4": (6, "text.max_length", f"text has 150 characters, at most 60 are allowed: {('long ' * 30)[:79] + '…'!r}"),
        "r5": (7, "text.pattern", "text '12345 67890' does not match [a-z]"),
        "r6": (8, "label.valid_values", "label 'gren' is not one of the 3 valid values; did you mean 'green'?"),
    }
    table = pd.read_parquet(out / "quarantine.parquet")
    assert table["file"].unique().tolist() == ["own/rows.csv"]
    assert json.loads(table["raw"].iloc[0])["text"] == "tiny"
    counts = files.read_json(out / "counts.json")
    assert (counts["read"], counts["accepted"], counts["quarantined"]) == (60, 56, 4)


def test_a_row_that_breaks_several_rules_is_quarantined_once_with_all_reasons(tmp_path):
    rows = good()
    rows[3] |= {"text": "!", "label": ""}
    out = run(tmp_path, hand_in(tmp_path, rows))
    [(number, rule, reason)] = quarantined(out).values()
    assert (number, set(rule.split("; "))) == (5, {"text.min_length", "text.pattern", "label.required"})
    assert "label is missing" in reason


def test_of_rows_with_one_id_none_is_kept_and_each_names_the_others(tmp_path):
    rows = good()
    rows[9]["id"] = "r1"
    out = run(tmp_path, hand_in(tmp_path, rows))
    table = pd.read_parquet(out / "quarantine.parquet")
    assert table["row"].tolist() == [3, 11]
    assert table["reason"].str.contains("own/rows.csv:3, own/rows.csv:11; nothing says which is right, so none is kept", regex=False).all()
    assert "r1" not in pd.read_parquet(out / "texts.parquet")["id"].tolist()


def refused(folder: Path, rows: Rows, rules: dict[str, Any] | None = None, split: str | None = None) -> dict[str, Any]:
    """The problems of a hand-in that is refused, by rule."""
    with pytest.raises(DataRejected) as rejected:
        run(folder, hand_in(folder, rows), rules, split)
    return {problem.get("rule", ""): problem for problem in rejected.value.problems}


def test_labels_that_differ_only_in_spelling_are_refused_until_the_pipeline_says_what_they_are(tmp_path):
    rows = good(90)
    for number, spelling in enumerate(("Blue", "blue ", "BLUE")):
        rows[3 * number]["label"] = spelling
    problem = refused(tmp_path, rows)["label.variants"]
    assert problem["message"].startswith("4 labels differ only by case, blanks or Unicode form: 'blue' 27, ")
    assert "`task: {normalise_labels: true}`" in problem["fix"]
    for normalise, labels in ((True, sorted(LABELS)), (False, None)):
        asked = context(RULES if normalise else None)
        asked = replace(asked, options=asked.options.model_copy(update={"task": TaskOptions(normalise_labels=normalise)}))
        out = empty(tmp_path / f"out-{normalise}")
        if labels is None:  # four classes, of which three have one row each
            with pytest.raises(DataRejected, match="class 'BLUE' has 1 row"):
                CONTRACT.run(ContractConfig.of(asked), {"labelled": tmp_path / "rows.csv"}, out)
        else:
            CONTRACT.run(ContractConfig.of(asked), {"labelled": tmp_path / "rows.csv"}, out)
            assert json.loads((out / "labels.json").read_text()) == labels


def test_a_label_that_holds_several_answers_is_refused(tmp_path):
    rows = good()
    rows[7]["label"] = '{"choices": ["blue", "red"]}'
    problem = refused(tmp_path, rows)["label.json"]
    assert problem["row"] == 9
    assert problem["message"] == """1 label holds a list or an object, such as {"choices": ["blue", "red"]}, where a row has one label"""


@pytest.mark.parametrize("name", ["validation", "val", "valid"])
def test_a_split_called_validation_is_dev(tmp_path, name):
    rows = [row | {"part": ("train", name, "test")[n // 3 % 3]} for n, row in enumerate(good())]
    out = run(tmp_path, hand_in(tmp_path, rows), None, "part")
    assert set(pd.read_parquet(out / "texts.parquet")["split"]) == {"train", "dev", "test"}
    assert quarantined(out) == {}


def test_a_value_that_always_fails_is_the_file_s_fault(tmp_path):
    rows = [row | {"part": ("train", "test")[n // 3 % 2] if n % 20 else "holdout"} for n, row in enumerate(good(200))]
    problem = refused(tmp_path, rows, None, "part")["part.always"]
    assert problem["message"] == "part is 'holdout' in 10 rows, and allowed are dev, test, train"
    assert problem["fix"] == "write dev, test, train (val, valid, validation mean dev), or take these rows out"
    few = [row | {"label": "gren" if n in (3, 70) else row["label"]} for n, row in enumerate(good(200))]
    (tmp_path / "few").mkdir()
    assert {rule for _, rule, _ in quarantined(run(tmp_path / "few", hand_in(tmp_path, few))).values()} == {"label.valid_values"}


@pytest.mark.parametrize(
    ("label", "words"), [("-1", "the label -1"), ("", "no label"), ("?", "the label ?"), ("unlabelled", "the label unlabelled")]
)
def test_test_rows_whose_labels_are_kept_back_are_said_to_be_that(tmp_path, label, words):
    rows = [row | {"part": ("train", "dev", "test")[n // 3 % 3]} for n, row in enumerate(good(200))]
    rows = [row | {"label": label} if row["part"] == "test" else row for row in rows]
    tests = sum(row["part"] == "test" for row in rows)
    refusal = refused(tmp_path, rows, None, "part")
    assert next(iter(refusal)) == "label.hidden", "what is behind the others comes first"
    problem = refusal["label.hidden"]
    assert problem["message"] == f"{tests} of {tests} test rows have {words}: public data sets keep those of the test split back"


def by_date(folder: Path, labelled: Path) -> Path:
    """What the step leaves where the column ``made`` orders the rows."""
    data = {"corpus": "c.txt", "labelled": f"own/{labelled.name}"}
    options = PipelineOptions.model_validate({"version": 1, "base_model": "models/x", "data": data, "split": {"by": "made"}})
    out = empty(folder / "contract")
    CONTRACT.run(ContractConfig.of(PipelineContext("own", options, "", default_contract(options.task))), {"labelled": labelled}, out)
    return out


def test_the_newest_rows_test_where_a_column_orders_them(tmp_path):
    rows = [row | {"made": f"2026-{n // 28 + 1:02d}-{n % 28 + 1:02d}"} for n, row in enumerate(good(80))]
    rows[7]["made"] = ""
    out = by_date(tmp_path, hand_in(tmp_path, rows[::-1]))
    splits = pd.read_parquet(out / "texts.parquet").set_index("id")["split"]
    assert [splits[f"r{n}"] for n in (0, 51, 52, 58, 59, 60, 79)] == ["train", "train", "dev", "dev", "dev", "test", "test"]
    assert quarantined(out) == {"r7": (74, "made.required", "made is missing")}
    order = files.read_json(out / "counts.json")["order"]
    assert order == {"column": "made", "dev_from": rows[52]["made"], "test_from": rows[60]["made"]}


def test_timestamps_of_parquet_order_rows_as_they_are(tmp_path):
    table = pd.DataFrame([row | {"made": pd.Timestamp("2026-01-01") + pd.Timedelta(hours=n)} for n, row in enumerate(good(80))])
    table.to_parquet(tmp_path / "rows.parquet")
    splits = pd.read_parquet(by_date(tmp_path, tmp_path / "rows.parquet") / "texts.parquet").set_index("id")["split"]
    assert (splits["r0"], splits["r59"], splits["r60"]) == ("train", "dev", "test")


def test_values_that_order_nothing_refuse_the_file_with_the_first_of_them(tmp_path):
    rows = [row | {"made": "last week" if n == 5 else f"2026-01-{n % 28 + 1:02d}"} for n, row in enumerate(good(80))]
    with pytest.raises(DataRejected) as refused:
        by_date(tmp_path, hand_in(tmp_path, rows))
    (problem,) = refused.value.problems
    assert (problem["file"], problem["row"], problem["value"]) == ("own/rows.csv", 7, "last week")


def test_two_keys_do_not_both_say_which_rows_test():
    data = {"corpus": "c.txt", "labelled": "rows.csv", "split": "part"}
    with pytest.raises(ValueError, match=r"data\.split and split\.by both say which rows are held out, 'part' and 'made'"):
        PipelineOptions.model_validate({"version": 1, "base_model": "models/x", "data": data, "split": {"by": "made"}})


def test_a_class_for_every_row_is_no_label(tmp_path):
    rows = [row | {"label": row["text"]} for row in good()]
    assert refused(tmp_path, rows, None)["label.classes"]["message"].endswith("is 'label' really the label?")


def test_a_number_as_a_label_is_one_fault_not_also_a_missing_label(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row | {"label": 7.5} if row["id"] == "r5" else row) for row in good()))
    assert quarantined(run(tmp_path, path)) == {"r5": (6, "label.type", "label is the number 7.5, not a string; write it in quotes")}


def test_accepted_rows_are_sorted_strings_with_every_column(tmp_path):
    rows = [row | {"source": "007", "label.id": "x"} for row in reversed(good())]
    out = run(tmp_path, hand_in(tmp_path, rows))
    table = pd.read_parquet(out / "rows.parquet")
    assert table.columns.tolist() == ["id", "text", "label", "label.id", "source"]
    assert table["id"].tolist() == sorted(row["id"] for row in rows)
    assert set(table["source"]) == {"007"}
    assert files.read_json(out / "labels.json") == list(LABELS)


@pytest.mark.parametrize("label", ["red", "nonsense", "", "$x"])
def test_a_label_edit_changes_no_text_so_that_the_corpus_is_not_dealt_out_again(tmp_path, label):
    before = run(tmp_path / "a", hand_in(tmp_path, good()))
    rows = good()
    rows[1]["label"] = label
    after = run(tmp_path / "b", hand_in(tmp_path, rows))
    assert files.digest(after / "texts.parquet") == files.digest(before / "texts.parquet")
    assert files.digest(after / "rows.parquet") != files.digest(before / "rows.parquet")


def test_two_runs_leave_the_same_bytes(tmp_path):
    rows = good()
    rows[3]["text"] = "tiny"
    path = hand_in(tmp_path, rows)
    assert files.tree(run(tmp_path / "a", path)) == files.tree(run(tmp_path / "b", path))


def reject(tmp_path: Path, rows: Rows, rules: dict[str, Any] | None = RULES) -> DataRejected:
    with pytest.raises(DataRejected) as caught:
        run(tmp_path, hand_in(tmp_path, rows), rules)
    assert not list((tmp_path / "contract" / "out").iterdir()), "nothing half-written"
    return caught.value


def test_a_class_with_one_row_is_named_with_its_count_and_a_fix(tmp_path):
    error = reject(tmp_path, [*good(), {"id": "x", "text": "only one of these", "label": "mauve"}, *good(90)[60:]], None)
    [problem] = error.problems
    assert "class 'mauve' has 1 row and no" in problem["message"]
    assert (problem["column"], problem["value"], problem["rule"]) == ("label", "mauve", "label.classes")
    assert (problem["file"], problem["row"]) == ("own/rows.csv", 62)
    assert str(error).startswith("data.labelled (own/rows.csv) cannot carry the task: 1 fault\n  own/rows.csv:62: class 'mauve'")
    assert "17" in problem["fix"]
    assert problem["fix"].endswith("or correct or take out those it has")
    assert error.fix == problem["fix"]


@pytest.mark.parametrize("chunk_rows", [7, 100])
def test_a_class_is_found_at_its_first_accepted_row_in_the_file_that_holds_it(tmp_path, chunk_rows):
    named = [("a.csv", 1, "red"), ("a.csv", 2, "blue"), ("b.csv", 1, "gren"), ("b.csv", 2, ""), ("b.csv", 3, "green")]
    named += [("b.csv", 4 + n, "red") for n in range(12)] + [("c.csv", 9, "green"), ("c.csv", 11, "grey")]
    rows = [
        Row(file, line, {"id": str(n), "text": "sentence", "label": label or None}, (), {}) for n, (file, line, label) in enumerate(named)
    ]
    validated = validate(lambda: rows, Contract.model_validate(RULES), tmp_path, chunk_rows)
    assert validated.first("label", ["green", "red", "gren", "grey"]) == {"green": ("b.csv", 3), "red": ("a.csv", 1)}
    assert validated.first("label", []) == {}


def test_a_label_of_the_contract_without_rows_is_a_fault(tmp_path):
    error = reject(tmp_path, [row for row in good() if row["label"] != "red"])
    assert "class 'red' has 0 rows" in str(error)
    assert (error.problems[0]["file"], error.problems[0]["row"]) == (None, None)
    assert error.fix.endswith("or take the class out")


@pytest.mark.parametrize("rules", [RULES, None, {**default_contract(TaskOptions()), "version": "2"}])
def test_a_contract_is_named_where_somebody_wrote_one(tmp_path, rules):
    error = reject(tmp_path, [row | {"text": ""} for row in good()], rules)
    said = f"breaks the contract {rules['id']!r}" if rules else "cannot carry the task"
    assert str(error).startswith(f"data.labelled (own/rows.csv) {said}: 61 faults\n")
    assert "none of the 60 rows " + ("keeps the contract" if rules else "can be used") in str(error)
    assert error.fix == ("correct the rows, or the contract" if rules else "correct the rows")


def test_a_given_split_is_no_contract(tmp_path):
    with pytest.raises(DataRejected, match=r"^data\.labelled \(own/rows\.csv\) cannot carry the task"):
        run(tmp_path, hand_in(tmp_path, [row | {"text": ""} for row in with_split(good())]), None, split="part")


def test_many_bad_rows_reject_the_whole_and_every_one_is_listed(tmp_path):
    rows = good()
    for row in rows[:30]:
        row["text"] = "?"
    error = reject(tmp_path, rows)
    assert "30 of 60 rows (50%) are quarantined; above 10%" in error.problems[0]["message"]
    assert error.problems[1].items() >= {"file": "own/rows.csv", "row": 2, "column": "text", "value": "?"}.items()
    told = [problem.get("rule") for problem in error.problems]
    assert told == ["rows.quarantined", *["text.min_length", "text.pattern"] * 5, None]  # 5 rows a rule, then how many more
    listed = re.search(r"and 50 more; all of them are in (\S+)", str(error))
    assert listed
    assert len(Path(listed[1]).read_text().splitlines()) == 31


def test_no_accepted_row_is_said_in_words(tmp_path):
    assert "none of the 3 rows keeps the contract" in str(reject(tmp_path, [row | {"text": ""} for row in good(3)]))


def test_a_single_class_is_nothing_to_tell_apart(tmp_path):
    assert "nothing to tell apart" in str(reject(tmp_path, [row | {"label": "a"} for row in good()], None))


def page(out: Path) -> str:
    return (out.parent / "evidence" / "contract.html").read_text()


def test_the_page_opens_without_a_network_and_without_running_anything(tmp_path):
    rows = good()
    rows[3]["text"] = "<script>alert(1)</script>" * 3
    rows[4] |= {"label": "<b>$x</b> {{ 7 * 7 }}"}
    rows[6] |= {"label": "</td></table><img src=x onerror=alert(1)>"}
    rows[5]["text"] = "?"
    written = page(run(tmp_path, hand_in(tmp_path, rows)))
    assert not re.findall(r"https?:|//\w|\bsrc=[^x]|\bhref=\"(?!#|quarantine\.csv\")|<script|<link|<img|<iframe|url\(|@import", written)
    assert "&lt;b&gt;$x&lt;/b&gt; {{ 7 * 7 }}" in written
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "default-src 'none'" in written, "what slipped through would not run"


def test_the_page_shows_every_rule_with_its_result_and_rows_that_break_it(tmp_path):
    rows = good(100)
    for row in rows[:4]:
        row["text"] = "?"
    rows[5]["label"], rows[6]["label"] = "gren", ""
    labelled = hand_in(tmp_path, rows)
    with labelled.open("a") as handle:
        handle.write("x,y\n")
    told = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page(run(tmp_path, labelled)).split("<body>")[1].replace("<wbr>", "")))
    assert "94 of 101 rows used, 7 set aside" in told
    assert "Open your own file: the row below is its line in an editor" in told
    assert "Rules kept by every row 4 of 8" in told
    for rule in (
        "✓ kept id.required is there 0", "✓ kept id.unique stands once 0", "✓ kept text.required is there 0",
        "✗ broken text.min_length has at least 5 characters 4 3.96\N{NO-BREAK SPACE}%",
        "✓ kept text.max_length has at most 60 characters 0",
        "✗ broken text.pattern matches [a-z] 4", "✗ broken label.required is there 1",
        "✗ broken label.valid_values is one of blue, green, red 1",
    ):  # fmt: skip
        assert re.sub(r"\s+", " ", rule) in told, rule
    assert f"own/rows.csv 2 {rows[0]['id']} ? text has 1 characters, at least 5 are needed" in told
    assert (
        f"own/rows.csv 7 {rows[5]['id']} gren label &#39;gren&#39; is not one of the 3 valid values; did you mean &#39;green&#39;?" in told
    )
    assert f"own/rows.csv 8 {rows[6]['id']} missing label is missing" in told
    assert "✗ row.fields 1 row (0.99 %) breaks it" in told, (
        "what makes a row unreadable is no rule of the contract, and is shown all the same"
    )


def test_the_page_of_a_rule_that_thousands_break_shows_the_first_and_counts_the_rest(tmp_path):
    with pytest.raises(DataRejected):
        run(tmp_path, hand_in(tmp_path, [row | {"text": "?"} for row in good()]))
    written = page(tmp_path / "contract" / "out")
    assert "60 rows (100\N{NO-BREAK SPACE}%) break it; the first 20 are shown" in written
    assert written.count("at least 5 are needed") == 20


def test_a_rule_that_raises_is_not_a_rule_that_passed(monkeypatch, tmp_path):
    from regraft.data import expectations

    def blind(columns, measured, wanted, contract, original=expectations._run):
        return original(columns, measured, wanted, contract.model_copy(update={"columns": contract.columns[:1]}))

    monkeypatch.setattr(expectations, "_run", blind)
    rows = [Row("f", n, {"id": str(n), "text": "sentence", "label": "red"}, (), {}) for n in range(3)]
    with pytest.raises(DataRejected, match=r'could not be evaluated: .*"(text|label)" in BatchData does not exist'):
        validate(lambda: rows, Contract.model_validate(RULES), tmp_path)


LIKELY = ["red", "blue", "gren", "a1", "a2", "sentence", "NaN", "None", "$x", "{}"]
VALUES = st.one_of(st.none(), st.sampled_from(LIKELY), st.text(max_size=8))


def kept(values: dict[str, str | None], rows: list[dict[str, str | None]]) -> bool:
    """The contract of this module in plain Python."""
    key, text, label = (values[name] for name in ("id", "text", "label"))
    alone = sum(other["id"] == key for other in rows) == 1
    return key is not None and alone and text is not None and 5 <= len(text) <= 60 and bool(re.search("[a-z]", text)) and label in LABELS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.fixed_dictionaries({"id": VALUES, "text": VALUES, "label": VALUES}), min_size=1, max_size=12), st.sampled_from([4, 100]))
def test_accepted_and_quarantined_are_what_was_read_and_each_on_the_right_side(rows, chunk_rows):
    read = [Row("f", n, values, (), values) for n, values in enumerate(rows)]
    with TemporaryDirectory() as folder:
        validated = validate(lambda: read, Contract.model_validate(RULES), Path(folder), chunk_rows)
        quarantined = list(validated.quarantine())
        assert validated.kept + validated.quarantined == validated.read == len(rows)
        assert [row.number for row, _ in quarantined] == [n for n, values in enumerate(rows) if not kept(values, rows)]
        assert [key for (keys,) in validated.values("id") for key in keys] == [values["id"] for values in rows if kept(values, rows)]
        assert all(faults for _, faults in quarantined)


def test_the_demos_contract_accepts_a_demo_row(tmp_path):
    contract = Contract.model_validate(load_contract(DEMO))
    values = {"id": "1", "text": "Find a file in the texmf tree by its name.", "label": "matplotlib", "source": "matplotlib.dviread"}
    assert validate(lambda: [Row("f", 1, values, (), values)], contract, tmp_path).kept == 1


def test_texts_in_another_language_and_of_too_many_tokens_are_set_aside_and_unclear_ones_are_not(tmp_path):
    rules = {**RULES, "columns": [{"name": "text", "languages": ("en", "nl"), "min_tokens": 2, "max_tokens": 9}]}
    texts = ["Where is my parcel?", "Die Rechnung ist falsch, bitte korrigieren Sie den Betrag.", None, "ok", "12345 678",
             "Waar is mijn pakket? Ik wacht al een week.", "one two three four five six seven eight nine ten", "alone"]  # fmt: skip
    rows = [Row("f", n, {"text": text}, (), {}) for n, text in enumerate(texts)]

    def words(texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    validated = validate(lambda: rows, Contract.model_validate(rules), tmp_path / "some", tokens=words)
    reasons = {row.number: [fault.reason for fault in faults] for row, faults in validated.quarantine()}
    assert reasons == {
        1: ["text is in another language (de): 'Die Rechnung ist falsch, bitte korrigieren Sie den Betrag.'"],
        3: ["text has fewer than 2 tokens: 'ok'"],
        6: ["text has more than 9 tokens: 'one two three four five six seven eight nine ten'"],
        7: ["text has fewer than 2 tokens: 'alone'"],
    }
    with pytest.raises(EnvironmentFault, match=r"tasks/contract\.py of this workspace is older than such rules"):
        validate(lambda: rows, Contract.model_validate(rules), tmp_path / "none")


@pytest.mark.parametrize("chunk_rows", [13, 64])
def test_the_size_of_a_chunk_leaves_no_trace(tmp_path, monkeypatch, chunk_rows):
    rows = good(90)
    rows[3]["text"], rows[40]["label"], rows[80]["id"], rows[81]["id"] = "tiny", "gren", "r2", "r79"
    labelled = hand_in(tmp_path, rows)
    with labelled.open("a") as handle:
        handle.write("x,y\n")
    before = run(tmp_path / "whole", labelled)
    monkeypatch.setattr(validation, "validate", partial(validate, chunk_rows=chunk_rows))
    after = run(tmp_path / "chunks", labelled)
    assert files.tree(before) == files.tree(after)
    sheets = [(out.parent / "evidence" / "quarantine.csv").read_text() for out in (before, after)]
    assert sheets[0] == sheets[1]
    assert [line.split(",")[1:3] for line in sheets[0].splitlines()[1:]] == [
        ["4", "r2"], ["5", "r3"], ["42", "r40"], ["81", "r79"], ["82", "r2"], ["83", "r79"], ["92", ""],
    ]  # fmt: skip
    pages = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", page(out)) for out in (before, after)]
    assert pages[0] == pages[1]
    # Two rows each have an id that repeats: it stands there as the row's id and as the value at fault.
    assert [pages[0].count(f">{value}</td>") for value in ("r2", "r79", "gren", "tiny")] == [4, 4, 1, 1]
    assert not list(after.parent.glob("rows-*")), "the chunks are gone"


def with_split(rows: Rows) -> Rows:
    return [row | {"part": ("test", "dev", "train", "train")[n % 4]} for n, row in enumerate(rows)]


def test_a_given_split_is_kept_and_what_it_does_not_know_is_quarantined(tmp_path):
    rows = with_split(good())
    rows[5]["part"], rows[6]["part"], rows[7]["part"] = "holdout", "", "trian"
    out = run(tmp_path, hand_in(tmp_path, rows), split="part")
    assert quarantined(out) == {
        "r5": (7, "part.valid_values", "part 'holdout' is not one of the 3 valid values"),
        "r6": (8, "part.required", "part is missing"),
        "r7": (9, "part.valid_values", "part 'trian' is not one of the 3 valid values; did you mean 'train'?"),
    }
    texts = pd.read_parquet(out / "texts.parquet")
    assert texts.columns.tolist() == ["id", "text", "split"]
    assert dict(zip(texts["id"], texts["split"], strict=True)) == {
        row["id"]: row["part"] for row in rows if row["id"] not in ("r5", "r6", "r7")
    }


def test_a_class_without_test_rows_in_a_given_split_is_blamed_on_the_column(tmp_path):
    rows = [row | {"part": "train" if row["label"] == "red" else row["part"]} for row in with_split(good())]
    with pytest.raises(DataRejected, match=r"csv:4: class 'red', first seen here, has 20 rows and no test row .*; the column 'part' says"):
        run(tmp_path, hand_in(tmp_path, rows), split="part")


def test_rows_that_stand_in_two_given_splits_stay_in_the_one_that_is_held_out_and_are_counted(tmp_path, capfd):
    rows = with_split(good())
    rows[2]["text"] = rows[0]["text"].upper()  # train repeats test
    rows[9]["text"] = rows[4]["text"] + "!"  # dev nearly repeats test
    rows[7]["text"] = rows[3]["text"]  # inside train
    texts = run(tmp_path, hand_in(tmp_path, rows), split="part") / "texts.parquet"
    with running(Running(pipeline="own", step="splits", report=True)):
        out = deal_out(SPLITS, tmp_path, {"texts": texts}, near_duplicate=0.95)
    splits = pd.read_parquet(out / "splits.parquet")
    assert dict(zip(splits["id"], splits["split"], strict=True)) == {
        row["id"]: row["part"] for row in rows if row["id"] not in ("r2", "r9", "r7")
    }
    leaks = pd.read_parquet(out.parent / "evidence" / "leaks.parquet")
    assert leaks.to_numpy().tolist() == [["r2", "train", "r0", "test", "exact"], ["r9", "dev", "r4", "test", "near"]]
    said = capfd.readouterr().out
    assert (
        "2 rows repeat a row of another split (1 word for word, 1 nearly) and were taken out: 1 of dev in test, 1 of train in test" in said
    )
    assert "artifacts/own/splits/evidence/leaks.parquet" in said


def test_several_files_of_several_formats_are_one_hand_in(tmp_path):
    rows = good()
    hand_in(tmp_path, rows[:20])
    (tmp_path / "more").mkdir()
    pd.DataFrame(rows[20:40]).to_parquet(tmp_path / "more" / "a.parquet")
    with gzip.open(tmp_path / "more" / "b.tsv.gz", "wt") as handle:
        pd.DataFrame(rows[40:]).to_csv(handle, sep="\t", index=False)
    whole = run(tmp_path / "whole", hand_in(tmp_path / "more", rows))
    (tmp_path / "more" / "rows.csv").unlink()
    config = ContractConfig.of(context()).model_copy(update={"labelled": ("own/rows.csv", "own/more")})
    out = empty(tmp_path / "parts" / "contract")
    CONTRACT.run(config, {"labelled.0": tmp_path / "rows.csv", "labelled.1": tmp_path / "more"}, out)
    assert files.tree(out) == files.tree(whole)


def empty(home: Path) -> Path:
    for name in ("out", "evidence"):
        (home / name).mkdir(parents=True)
    return home / "out"


def deal_out(step: Step[Any], folder: Path, inputs: dict[str, Path], near_duplicate: float = 0.8) -> Path:
    out = empty(folder / step.name)
    config = step.config.of(context())
    config = config.model_copy(update={"split": config.split.model_copy(update={"near_duplicate": near_duplicate})})
    step.run(config, inputs, out)
    return out


def test_documents_that_hold_a_labelled_text_go_and_the_splits_are_those_that_rows_of_0_2_had(tmp_path):
    texts = run(tmp_path, hand_in(tmp_path, good())) / "texts.parquet"
    corpus = tmp_path / "c.txt"
    corpus.write_text("First document about nothing.\n\nSentence  NUMBER 3 of blue\n\nA second document, unlike the first.\n")
    splits = pd.read_parquet(deal_out(SPLITS, tmp_path, {"texts": texts}) / "splits.parquet")
    documents = deal_out(CORPUS, tmp_path, {"texts": texts, "corpus": corpus})
    assert sorted(pd.read_parquet(documents / "documents.parquet")["heldout"]) == [False, True]
    dropped = pd.read_parquet(documents.parent / "evidence" / "dropped.parquet")
    assert dropped.to_numpy().tolist() == [["c.txt:3", "exact", "r3"]]
    source = Source("data.corpus", corpus, "c.txt")
    together = split_rows(read_texts(texts), read_corpus(source, "text"), SplitOptions(), 17, scratch=tmp_path)  # as the step corpus did
    assert dict(zip(splits["id"], splits["split"], strict=True)) == together.splits


def test_no_corpus_is_said_before_anything_is_written(tmp_path):
    texts = run(tmp_path, hand_in(tmp_path, good())) / "texts.parquet"
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegraftError, match=r"data\.corpus: the folder c\.txt holds no") as caught:
        deal_out(CORPUS, tmp_path, {"texts": texts, "corpus": tmp_path / "empty"})
    assert caught.value.exit_code == 3


def test_rows_that_look_read_in_a_wrong_encoding_are_told_with_an_example_and_kept_as_they_are(tmp_path, capsys):
    rows = good()
    rows[5]["text"], rows[6]["text"], rows[9]["text"] = "ein Zeichen für sich", "ein Zeichen fÃ¼r sich", "ein Brief Ã¼ber Ã„rger"
    with running(Running(pipeline="own", step="contract", report=True)):
        out = run(tmp_path, hand_in(tmp_path, rows))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if '"warning"' in line]
    said = json.loads(line.removeprefix("@@ "))["message"]
    assert said.startswith("data.labelled: 2 rows look as if read in a wrong encoding and saved so, such as 'fÃ¼r' for 'für' (r6): ")
    assert "ein Zeichen fÃ¼r sich" in set(pd.read_parquet(out / "rows.parquet")["text"])


def test_rows_that_were_set_aside_are_said_with_the_first_of_them(tmp_path, capsys):
    rows = good()
    rows[7]["label"], rows[9]["id"], rows[12]["label"] = "violet", rows[8]["id"], ""
    with running(Running(pipeline="own", step="contract", report=True)):
        run(tmp_path, hand_in(tmp_path, rows))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if '"warning"' in line]
    said = json.loads(line.removeprefix("@@ "))["message"]
    assert said.startswith("4 of 60 labelled rows break the contract and are set aside (id.unique 2, ")
    assert "own/rows.csv:9: " in said
    assert said.endswith("; all of them: artifacts/own/contract/evidence/quarantine.csv")
    with running(Running(pipeline="own", step="contract", report=True)):
        (tmp_path / "clean").mkdir()
        run(tmp_path / "clean", hand_in(tmp_path, good()))
    assert '"warning"' not in capsys.readouterr().out
