"""Changed texts: what each test changes, what it leaves alone, and the files that say what to ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from regraft.config import named_files
from regraft.config.pipeline_file import load_pipeline
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.evaluation.probe_labels import require_labels
from regraft.evaluation.probe_options import IdentityTerms, TemplateFile, TemplateTest
from regraft.evaluation.variants import CHANGES, cases, counterfactuals, draw, invariances


def first(_: int) -> int:
    return 0


def last(n: int) -> int:
    return n - 1


@pytest.mark.parametrize(
    ("test", "text", "changed", "number"),
    [
        ("typos", "Sort a list", ("Srot a list", "Sort to Srot"), first),
        ("typos", "Sort a list", ("Sort a lits", "list to lits"), last),
        ("typos", "x1 a be aaa 42", None, first),
        ("typos", "naïve", ("nïave", "naïve to nïave"), first),
        ("case", "NumPy Arrays", ("numpy arrays", "no capitals"), first),
        ("case", "numpy", ("NUMPY", "all in capitals"), first),
        ("case", "模型 12", None, first),
        ("punctuation", "Sort it.", ("Sort it", ". taken away"), first),
        ("punctuation", "Really?! ", ("Really", "?! taken away"), first),
        ("punctuation", "Sort it", ("Sort it.", ". added"), first),
        ("punctuation", "(see above)", ("(see above).", ". added"), first),
        ("punctuation", "排序。", ("排序", "。 taken away"), first),
        ("punctuation", "...", None, first),
        ("whitespace", "sort the list", ("sort\nthe list", "line break before the"), first),
        ("whitespace", "sort the list", ("sort the\nlist", "line break before list"), last),
        ("whitespace", "word", None, first),
        ("whitespace", "", None, first),
    ],
)
def test_each_change_is_one_and_says_what_it_was(test, text, changed, number):
    assert CHANGES[test](text, number) == changed


def test_a_row_has_one_variant_of_each_test_that_can_change_it_whatever_rows_stand_beside_it():
    texts = {"a": "Sort the list of names.", "b": "7", "c": "sum all rows"}
    every = list(invariances(list(texts), list(texts.values()), ["typos", "length"], "Thank you.", 17))
    assert [(v.kind, v.id) for v in every] == [("typos", "a"), ("typos", "c"), ("length", "a"), ("length", "b"), ("length", "c")]
    assert next(v.text for v in every if v.kind == "length") == "Sort the list of names. Thank you."
    assert {v.expect for v in every} == {"same"}
    alone = list(invariances(["c"], ["sum all rows"], ["typos"], "", 17))
    assert alone == [v for v in every if (v.kind, v.id) == ("typos", "c")]


def test_draws_are_those_of_philox_under_seed_row_and_test():
    number = draw(17, "typos", "r1")
    assert [number(1000) for _ in range(5)] == [548, 963, 551, 877, 818]
    assert draw(18, "typos", "r1")(10**9) != draw(17, "typos", "r1")(10**9) != draw(17, "case", "r1")(10**9)


TERMS = {
    "gender": {"male": ["he", "his", "him"], "female": ["she", "her", "her"]},
    "faith": {"a": ["Jew"], "b": ["Muslim"], "c": ["Hindu"]},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He lost his hat", [("gender", "She lost her hat", "He to She, his to her")]),
        ("he and SHE", [("gender", "she and HE", "he to she, SHE to HE")]),
        ("I saw her", [("gender", "I saw his", "her to his")]),
        ("the theory of shelves", []),
        ("a Jew", [("faith", "a Muslim", "Jew to Muslim"), ("faith", "a Hindu", "Jew to Hindu")]),
        ("Jew, Muslim", [("faith", "Muslim, Hindu", "Jew to Muslim, Muslim to Hindu"),
                         ("faith", "Hindu, Jew", "Jew to Hindu, Muslim to Jew")]),
    ],
)  # fmt: skip
def test_terms_are_exchanged_whole_in_every_round_with_their_capitals(text, found):
    assert [(v.kind, v.text, v.change) for v in counterfactuals(["r"], [text], TERMS)] == found


def test_the_order_of_groups_in_the_file_changes_nothing():
    turned = {dimension: dict(reversed(groups.items())) for dimension, groups in reversed(TERMS.items())}
    rows = ["a", "b"], ["he met a Jew", "her Hindu friend"]
    assert list(counterfactuals(*rows, turned)) == list(counterfactuals(*rows, TERMS))


def test_the_terms_that_come_with_the_package_are_a_valid_file():
    found = IdentityTerms.model_validate(yaml.safe_load((Path(named_files.__file__).parent / "identity_terms.yaml").read_text()))
    assert {"gender", "religion", "origin"} <= set(found.terms)
    told = [v.change for v in counterfactuals(["r"], ["Her mother is a Latin American Muslim"], found.terms)]
    assert "Her to His, mother to father" in told
    assert "Latin American to African" in told, "the longest term counts, not the American in it"


TESTS = (
    TemplateTest(name="names", texts=("import {a}", "{a} {b} {a}"), label="numpy", fill={"a": ("np", "numpy"), "b": ("x", "y")}),
    TemplateTest(name="negation", pairs=(("it is {a}", "it is not {a}"),), expect="different", fill={"a": ("fast",)}),
)


def test_templates_are_filled_with_every_combination():
    made = list(cases(TESTS))
    assert [v.text for v in made[:6]] == ["import np", "import numpy", "np x np", "np y np", "numpy x numpy", "numpy y numpy"]
    assert [(v.id, v.expect, v.label, v.original) for v in made[:2]] == [("1", "label", "numpy", None), ("2", "label", "numpy", None)]
    assert (made[6].original, made[6].text, made[6].expect) == ("it is fast", "it is not fast", "different")
    assert len(made) == sum(test.cases for test in TESTS) == 7


def test_an_unknown_label_is_said_with_the_one_it_may_have_meant():
    require_labels(["numpy"], ["numpy", "pandas"])
    with pytest.raises(ConfigError, match=r"a test expects the label 'numpy', which no labelled row has; did you mean 'numpi'\?"):
        require_labels(["numpy"], {"numpi": 3, "pandas": 4})


MANY = tuple(str(n) for n in range(30))


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ({"texts": ["a"]}, "a test has `texts` and the `label` they must get, or `pairs`"),
        ({"texts": ["a"], "label": "x", "expect": "same"}, "a test has `texts`"),
        ({"pairs": [["a", "b"]], "expect": "maybe"}, "input should be 'same' or 'different', not 'maybe'"),
        ({"pairs": [["a {x}", "a {x}"]], "expect": "same", "fill": {"x": ["1"]}}, "a pair holds 'a {x}' twice"),
        ({"texts": ["{a} {b}"], "label": "x", "fill": {"a": ["1"]}}, "the slot {b} has no values; `fill` has a"),
        ({"texts": ["{a}"], "label": "x", "fill": {"a": ["1"], "c": ["1"]}}, "no template has the slot {c}"),
        ({"texts": ["{a}"], "label": "x", "fill": {"a": []}}, "fill.a has no values"),
        ({"texts": ["{a}{b}{c}"], "label": "x", "fill": dict.fromkeys("abc", MANY)}, "27,000 cases; 10,000 are the most"),
        ({"text": ["a"], "label": "x"}, "unknown; did you mean texts?"),
    ],
)  # fmt: skip
def test_a_faulty_template_is_a_fault_with_its_line(test, says, workspace):
    (workspace.root / "t.yaml").write_text(json.dumps({"version": 1, "tests": [{"name": "one", **test}]}))
    with pytest.raises(ConfigError) as raised:
        read(workspace, "{templates: {file: t.yaml}}")
    message = "; ".join(problem["message"] for problem in raised.value.problems)
    assert says in message
    assert {problem["file"] for problem in raised.value.problems} == {"t.yaml"}
    assert all(problem["row"] for problem in raised.value.problems)


def test_a_label_that_the_contract_does_not_list_is_a_fault_of_its_line(workspace):
    text = "version: 1\ntests:\n- {name: one, texts: [a], label: x}\n- name: two\n  texts: [b]\n  label: gardn\n"
    (workspace.root / "t.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read(workspace, "{templates: {file: t.yaml}}", ["garden", "x"])
    (problem,) = raised.value.problems
    assert (problem["file"], problem["row"], problem["column"]) == ("t.yaml", 6, "tests.1.label")
    assert problem["message"] == "tests.1.label: the data contract lists no label 'gardn'; did you mean 'garden'?"
    assert len(read(workspace, "{templates: {file: t.yaml}}")["templates"]) == 2, "a contract that lists no labels says nothing"


def test_a_template_of_one_text_is_a_fault_where_the_model_reads_two(workspace):
    one, two = "- {name: one, texts: [a \u241e b, c], label: x}", "- {name: two, expect: same, pairs: [[a \u241e b, a b]]}"
    text = f"version: 1\ntests:\n{one}\n{two}\n"
    (workspace.root / "t.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read(workspace, "{templates: {file: t.yaml}}", task="task: {text_pair: second}\n")
    assert [(problem["column"], problem["rule"]) for problem in raised.value.problems] == [
        ("tests.0.texts.1", "two texts"),
        ("tests.1.pairs.0.1", "two texts"),
    ]
    message = "tests.0.texts.1: 'c' is one text, and with task.text_pair the model reads two: 'first \u241e second'"
    assert raised.value.problems[0]["message"] == message
    assert read(workspace, "{templates: {file: t.yaml}}")["templates"], "where a row is one text a mark is a character"


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"a": ["x"]}, "who has fewer than 2 groups"),
        ({"a": ["x"], "b": ["y", "z"]}, "the groups of who need equally many words, at least one: a has 1, b has 2"),
        ({"a": [], "b": []}, "at least one: a has 0, b has 0"),
        ({"a": ["x"], "b": ["X"]}, "who: 'X' stands in a and in b"),
    ],
)
def test_a_faulty_list_of_terms_is_a_fault(groups, says, workspace):
    (workspace.root / "t.yaml").write_text(yaml.safe_dump({"version": 1, "terms": {"who": groups}}))
    with pytest.raises(ConfigError, match=says):
        read(workspace, "{counterfactual: {max_flip_rate: 0.1, terms: t.yaml}}")


@pytest.mark.parametrize(
    ("gate", "key", "near"),
    [
        ("{templates: {file: pipelines/p.template.yaml}}", "gates.0.templates.file", "; did you mean pipelines/p.templates.yaml?"),
        ("{counterfactual: {max_flip_rate: 0.1, terms: nowhere/t.yaml}}", "gates.0.counterfactual.terms", "nowhere/t.yaml is not there"),
        ("{counterfactual: {max_flip_rate: 0.1, terms: pipelines}}", "gates.0.counterfactual.terms", "pipelines is a folder"),
    ],
)
def test_a_file_that_is_not_there_is_a_fault_of_the_pipeline_file(gate, key, near, workspace):
    (workspace.root / "pipelines" / "p.templates.yaml").write_text("")
    with pytest.raises(ConfigError) as raised:
        read(workspace, gate)
    (problem,) = raised.value.problems
    assert (problem["file"], problem["row"], problem["column"]) == ("pipelines/p.yaml", 7, key)
    assert near in problem["message"]


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("{robustness: {}}", "gates.0.robustness.max_failure_rate: missing"),
        ("{robustness: {max_failure_rate: 0}}", "greater than 0"),
        ("{robustness: {max_failure_rate: 0.1, tests: [typo]}}", "did you mean 'typos'?"),
        ("{robustness: {max_failure_rate: 0.1, tests: []}}", "`tests` is empty; take it out for all of them"),
        ("{robustness: {max_failure_rate: 0.1, tests: [case, case]}}", "a test stands twice"),
        ("{robustness: {max_failure_rate: 0.1}, metric: accuracy}", "`robustness` does not read `metric`; take it out"),
        ("{fairness: {groups: [a], max_gap: 0.1, rate: recall}}", "recall is about one label; name it"),
        ("{fairness: {groups: [a], max_gap: 0.1, label: x}}", "accuracy is about every label; take `label` out"),
        ("{fairness: {groups: [a, a], max_gap: 0.1}}", "a column stands twice in `groups`"),
        ("{templates: {file: t.yaml}, confidence: 0.9}", "`templates` does not read `confidence`"),
        ("{robustness: {max_failure_rate: 0.1}}\n- {robustness: {max_failure_rate: 0.2}}", "`robustness` stands there more than once"),
    ],
)  # fmt: skip
def test_a_gate_that_asks_nothing_or_twice_is_a_fault_of_the_pipeline_file(gate, says, workspace):
    with pytest.raises(ConfigError, match=r"pipelines/p\.yaml") as raised:
        read(workspace, gate)
    assert says in "; ".join(problem["message"] for problem in raised.value.problems)


def read(workspace: Workspace, gate: str, labels: list[str] | None = None, task: str = "") -> dict[str, object]:
    """What the files of one gate say."""
    head = f"version: 1\nbase_model: models/m\ndata:\n  corpus: c.txt\n  labelled: data\n{task}"
    workspace.pipeline_file("p").write_text(f"{head}gates:\n- {gate}\n")
    contract = {"columns": [{"name": "label", "valid_values": labels}]}
    return named_files.read_named(workspace, "p", load_pipeline(workspace, "p"), contract)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("")
    return Workspace(tmp_path)


def test_a_valid_file_comes_back_as_a_section_of_the_resolved_file_holds_it(workspace):
    text = 'version: 1\ntests:\n- name: one\n  texts: ["{a}"]\n  label: x\n  fill: {a: [b]}\n'
    (workspace.root / "t.yaml").write_text(text)
    found = read(workspace, "{templates: {file: t.yaml}}")
    assert found == {"templates": [{"name": "one", "texts": ["{a}"], "label": "x", "fill": {"a": ["b"]}}]}
    assert TemplateFile.model_validate({"version": 1, "tests": found["templates"]}).tests[0].cases == 1
