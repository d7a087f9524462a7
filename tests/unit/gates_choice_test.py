"""Which candidate answers the gates where dev rows choose, and that a stored decision tells the same choice again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workbench import sure

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation import predictions
from regraft.evaluation.stats.paired import Predictions
from regraft.gates.case import Case, Policy
from regraft.gates.choice import choose, section
from regraft.gates.decide import chosen, decide, question, reevaluate
from regraft.gates.registry import read_all
from regraft.gates.telling import row, sentence
from regraft.gates.verdict import Rows

LABELS = ["no", "yes"]
POLICY = Policy(read_all([{"at_least": 0.1, "metric": "accuracy"}]), 17, choose_on="dev")


def answering(right: int, n: int = 100, *, first: int = 0, broken: bool = False) -> Predictions:
    """Answers of which ``right`` of ``n`` are so, from row ``first`` on."""
    ids, truth = [f"r{i:03d}" for i in range(n)], [LABELS[i % 2] for i in range(n)]
    rows = [(i - first) % n for i in range(n)]
    said = [label if row < right else LABELS[1 - i % 2] for i, (label, row) in enumerate(zip(truth, rows, strict=True))]
    table = sure(ids, truth, said, LABELS)
    if broken:
        table.p[0] = np.nan
    return table.for_gates()


def case(**right: int) -> Case:
    return Case(
        "demo", POLICY, {}, Rows("e" * 64, 0), {}, dev={name: answering(rows, first=30 * k) for k, (name, rows) in enumerate(right.items())}
    )


@pytest.mark.parametrize(
    ("right", "name", "says"),
    [
        ({"cheap": 80, "dear": 81}, "cheap", "cheap is the cheapest within one standard error (0.062) of the best, dear"),
        ({"cheap": 70, "dear": 90}, "dear", "dear is best, and nothing cheaper lies within one standard error of it"),
        ({"cheap": 80, "dear": 80, "dearer": 80}, "cheap", "cheap is the best and the cheapest of them, so it"),
        ({"cheap": 60, "middle": 89, "dear": 90}, "middle", "middle is the cheapest within one standard error"),
        ({"alone": 10}, "alone", "alone is the only candidate."),
    ],
)
def test_the_cheapest_within_one_standard_error_of_the_best_is_the_candidate(right, name, says):
    found = choose(case(**right))
    assert found.name == name
    assert says in sentence(found.finding)
    assert found.finding.outcome == "info", "a choice fails no run"


def test_one_without_usable_answers_is_named_and_not_chosen():
    question = case(cheap=90, dear=50)
    found = choose(Case(**{**vars(question), "dev": {"broken": answering(90, broken=True), **question.dev}}))
    assert found.name == "cheap"
    assert "(no usable answers of broken)" in sentence(found.finding)


def test_without_dev_rows_the_cheapest_goes_on():
    empty = {name: answering(0, n=0) for name in ("cheap", "dear")}
    found = choose(Case("demo", POLICY, {}, Rows("e" * 64, 0), {}, dev=empty))
    assert (found.name, found.finding.code) == ("cheap", "no_answers")


def test_the_rule_stands_in_the_policy_only_where_dev_rows_choose():
    assert POLICY.document()["choose_on"] == "dev"
    assert "choose_on" not in Policy(POLICY.gates, 17).document()


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """What a decision reads of three candidates of which the second is chosen; of the others no answer to a test row is there."""
    out, names = tmp_path / "steps" / "scores" / "out", {"cheap": 60, "middle": 90, "dear": 90}
    ids, truth = [f"t{i:03d}" for i in range(40)], [LABELS[i % 2] for i in range(40)]
    for model in ("middle", "tfidf"):
        predictions.write(out / f"{model}.parquet", sure(ids, truth, truth, LABELS))
    for name, right in names.items():
        rows = [f"r{i:03d}" for i in range(100)]
        labels = [LABELS[i % 2] for i in range(100)]
        said = [label if i < right else LABELS[1 - i % 2] for i, label in enumerate(labels)]
        predictions.write(out / "dev" / f"{name}.parquet", sure(rows, labels, said, LABELS))
    files.write_json(out / "labels.json", LABELS)
    files.write_json(out / "digests.json", {**{name: name[0] * 64 for name in names}, "tfidf": "f" * 64, "rows": "e" * 64})
    files.write_json(out / "choice.json", {"by_cost": list(names), "models": ["middle", "tfidf"]})
    return out


def test_a_decision_binds_the_dev_rows_and_explains_the_choice_again(scores, tmp_path):
    evidence = tmp_path / "evidence"
    gates = [{"at_least": 0.5, "metric": "accuracy"}]
    verdict = decide("demo", gates, 17, scores, None, None, None, evidence)
    assert (verdict.candidate.name, verdict.candidate.digest, verdict.outcome) == ("middle", "m" * 64, "pass")
    assert chosen(gates, 17, {name: scores / "dev" / f"{name}.parquet" for name in ("cheap", "middle", "dear")}) == "middle"
    assert reevaluate(evidence).verdict_text() == (evidence / "verdict.json").read_text()
    assert sorted(path.stem for path in (evidence / "predictions").iterdir()) == ["middle", "tfidf"], "no answer of the unchosen is opened"
    bound = evidence / "dev" / "dear.parquet"
    bound.write_bytes(bound.read_bytes()[:-1])
    with pytest.raises(EnvironmentFault, match=r"dear\.parquet is changed since the decision was taken on it"):
        reevaluate(evidence)


def test_the_ledger_counts_the_models_whose_test_answers_were_opened(scores):
    _, asked = question([{"beats": "tfidf"}], 17, scores, None)
    assert set(asked["models"]) == {"middle", "tfidf", "champion"}


def test_a_choice_is_named_in_a_table_with_the_one_it_was_against_if_there_was_one():
    assert row(choose(case(cheap=70, dear=90)).finding.document()).requirement.startswith("accuracy: chosen on dev rows, against ")
    assert row(choose(case(alone=10)).finding.document()).requirement == "chosen on dev rows"


def test_who_was_withheld_is_part_of_the_choice_and_of_what_is_told_of_it():
    few = {"model": "few", "code": "above_labels", "labels": 40, "limit": 16}
    chosen = choose(replace(case(cheap=80, dear=81), withheld=(few,)))
    assert chosen.finding.facts["withheld"] == [few]
    assert sentence(chosen.finding).endswith("few was withheld: the rarest class has 40 training rows, more than its 16.")
    alone = choose(replace(case(cheap=80), withheld=({**few, "code": "below_labels", "limit": 64},)))
    assert sentence(alone.finding) == (
        "cheap is the only candidate. few was withheld: the rarest class has 40 training rows, fewer than its 64."
    )


def test_the_page_has_a_row_for_every_candidate_with_what_became_of_it():
    few = {"model": "few", "code": "above_labels", "labels": 40, "limit": 16}
    found = choose(replace(case(cheap=70, good=90, dear=91), withheld=(few,))).finding
    shown = section(found.document())
    assert [[cell.text for cell in row[:3]] for row in shown.tables[0].rows] == [
        ["cheap", "worse", "0.700"], ["good", "chosen", "0.900"], ["dear", "as good, and dearer", "0.910"], ["few", "withheld", ""]
    ]  # fmt: skip
    assert shown.end == "few is withheld: the rarest class has 40 training rows, more than its 16."
    assert section(choose(case(alone=10)).finding.document()) is None
