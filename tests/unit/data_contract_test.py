"""The contract file is real ODCS, and what is wrong with one is said all at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from regraft.config.schema import schema
from regraft.core.errors import ConfigError
from regraft.data.contract import Contract, default_contract
from regraft.data.contract_file import load_contract
from regraft.data.languages import CODES, NO_LANGUAGE
from regraft.data.options import TaskOptions

DEMO = Path(__file__).parents[2] / "pipelines" / "demo.contract.yaml"
LIBRARIES = {
    "numpy", "scipy", "sklearn", "torch", "pandas", "transformers", "peft", "datasets", "mlflow", "prefect", "great_expectations",
    "sqlalchemy", "matplotlib", "networkx", "huggingface_hub", "pydantic",
}  # fmt: skip


def test_the_demo_contract_is_a_contract_to_the_standards_own_schema_and_model():
    jsonschema.validate(yaml.safe_load(DEMO.read_text()), json.loads(OpenDataContractStandard.json_schema()))
    official = OpenDataContractStandard.from_file(str(DEMO)).schema_[0].properties
    assert [item.name for item in official] == ["id", "text", "label", "source"]
    assert [value.value for value in official[2].enum] == sorted(LIBRARIES)


def test_the_demo_contract_says_what_the_demo_promises():
    contract = Contract.model_validate(load_contract(DEMO))
    text, label, key = (contract.column(name) for name in ("text", "label", "id"))
    assert (text.min_length, text.max_length, text.required) == (30, 200, True)
    assert label.valid_values == tuple(sorted(LIBRARIES))
    assert (key.required, key.unique) == (True, True)


def test_words_for_people_do_not_change_what_is_checked(tmp_path):
    reworded = tmp_path / "c.yaml"
    reworded.write_text(DEMO.read_text().replace("purpose: Which", "purpose: Guess which"))
    assert reworded.read_text() != DEMO.read_text()
    assert load_contract(reworded) == load_contract(DEMO)


def test_everything_that_is_wrong_comes_at_once_with_lines_and_guesses(tmp_path):
    broken = tmp_path / "c.yaml"
    edits = [
        ("    required: true\n    unique", "    requird: true\n    unique"), ("minLength: 30", "minLength: 300"),
        ("- value: numpy", "- value: no"), ("kind: DataContract\n", ""), ("status: active", "status: alive"),
        ("- value: scipy", "- value: torch"),
    ]  # fmt: skip
    text = DEMO.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    broken.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_contract(broken)
    said = str(caught.value)
    for words in (
        "kind: missing", "requird: unknown; did you mean required? (line 14)", "minLength (300) is above maxLength (200)",
        "not False; put it in quotes", "status: input should be 'proposed'",
    ):  # fmt: skip
        assert words in said
    lines = text.splitlines()
    [unknown] = [problem for problem in caught.value.problems if "unknown" in problem["message"]]
    assert "requird" in lines[unknown["row"] - 1]


@pytest.mark.parametrize(("old", "new", "words"), [
    ("- value: scipy", "- value: torch", "value 'torch' stands there more than once"),
    ("- name: source", "- name: label", "column 'label' stands there more than once"),
    ("minLength: 30", "pattern: '['", "'[' is not a regular expression"),
    ("v3.2.0\nkind", "v3.1.0\nkind", "`enum` came with ODCS v3.2.0"),
    ("logicalType: string", "logicalType: integer", "logicalType: input should be 'string', not 'integer'"),
    ("unique: true", "unique: yes please", "unique: input should be a valid boolean"),
    ("maxLength: 200", "format: email", "format: unknown"),
    ("version: 1.0.0", "version: 1", "put it in quotes"),
])  # fmt: skip
def test_a_rule_that_cannot_be_kept_is_refused(tmp_path, old, new, words):
    broken = tmp_path / "c.yaml"
    assert old in DEMO.read_text()
    broken.write_text(DEMO.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_contract(broken)
    assert words in str(caught.value)


@pytest.mark.parametrize(("rule", "words"), [
    ("{rule: language, any_off: [en]}", "implementation.any_off: unknown; did you mean any_of? (line 25)"),
    ("{rule: language, any_of: [english]}", "code of a language that is told apart, such as en, not 'english' (line 25)"),
    ("{rule: language, any_of: []}", "any_of: list should have at least 1 item"),
    ("{rule: language, any_of: [en], at_most: 3}", "`language` takes no `at_most`"),
    ("{rule: language}", "`language` needs `any_of`"),
    ("{rule: tokens}", "`tokens` needs `at_least` or `at_most`"),
    ("{rule: tokens, at_most: 3, any_of: [en]}", "`tokens` takes no `any_of`"),
    ("{rule: tokens, at_least: 9, at_most: 3}", "at_least (9) is above at_most (3): no text would pass"),
    ("{rule: tokenz, at_most: 3}", "implementation.rule: input should be 'language' or 'tokens', not 'tokenz'"),
    ("lenght", "implementation: input should be 'required', 'unique', 'min_length'"),
    ("[tokens]", "implementation: input should be 'required', 'unique', 'min_length'"),
    ("pattern", "`quality` names the rule pattern, which text does not have"),
])  # fmt: skip
def test_a_rule_for_texts_says_what_is_wrong_with_it(tmp_path, rule, words):
    with pytest.raises(ConfigError) as caught:
        load_contract(with_rules(tmp_path, rule))
    assert words in str(caught.value)


def test_rules_for_texts_are_odcs_and_stand_in_the_column(tmp_path):
    path = with_rules(tmp_path, "{rule: language, any_of: [no, de]}".replace("no", '"no"'), "{rule: tokens, at_least: 2, at_most: 90}")
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(OpenDataContractStandard.json_schema()))
    jsonschema.validate(yaml.safe_load(path.read_text()), schema("contract"))
    contract = Contract.model_validate(load_contract(path))
    text = contract.column("text")
    assert (text.languages, text.min_tokens, text.max_tokens) == (("de", "no"), 2, 90)
    assert {kind: text.severity(kind) for kind in ("language", "min_tokens", "max_tokens")} == dict.fromkeys(
        ("language", "min_tokens", "max_tokens"), "warn"
    )
    assert contract.counts_tokens
    twice = with_rules(tmp_path, "{rule: tokens, at_least: 2}", "{rule: tokens, at_least: 3}")
    with pytest.raises(ConfigError, match="the rule 'min_tokens' stands there more than once"):
        load_contract(twice)


def with_rules(folder: Path, *rules: str) -> Path:
    """The demo's contract with rules for its texts."""
    path = folder / "own.contract.yaml"
    lines = [f"    - {{type: custom, engine: regraft, severity: warn, implementation: {rule}}}" for rule in rules]
    path.write_text(DEMO.read_text().replace("      maxLength: 200\n", "\n".join(["      maxLength: 200", "    quality:", *lines, ""])))
    return path


def test_the_languages_are_those_that_the_library_tells_apart():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    assert set(LanguageIdentifier.from_model_file(MODEL_FILE).nb_classes) - {NO_LANGUAGE} == CODES


def test_training_needs_its_columns_whatever_the_contract_says():
    relaxed = Contract.model_validate({"id": "c", "version": "1", "columns": [{"name": n} for n in ("key", "text", "label")]})
    forced = relaxed.for_task(TaskOptions(id="key"))
    assert [(c.required, c.unique) for c in forced.columns] == [(True, True), (True, False), (True, False)]
    with pytest.raises(ConfigError, match=r"task.text is 'txt', .*did you mean 'text'\?"):
        relaxed.for_task(TaskOptions(id="key", text="txt"))


def test_without_a_file_the_tasks_own_columns_are_the_contract():
    contract = Contract.model_validate(default_contract(TaskOptions(id="key", text="body", label="kind")))
    assert [(c.name, c.required, c.unique) for c in contract.columns] == [("key", True, True), ("body", True, False), ("kind", True, False)]


def test_reading_a_contract_needs_no_pandas():
    code = (
        f"import sys; from pathlib import Path; from regraft.data.contract_file import load_contract; load_contract(Path({str(DEMO)!r}));"
    )
    code += "print(sorted({'pandas', 'great_expectations', 'torch', 'numpy', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
