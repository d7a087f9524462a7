"""Evidence on disk: written, rebuilt, told, and found out when it was touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from workbench import leave_scores

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.data.tables import write_table
from regraft.evaluation import predictions
from regraft.evaluation.prediction_store import PredictionStore
from regraft.evaluation.predictions import Table, rows_digest
from regraft.gates.decide import decide, question, rebuild
from regraft.gates.telling import sentence
from regraft.gates.verdict import Champion
from regraft.registry.ledger import Ledger
from regraft.registry.stores.folder import Folder
from regraft.reports import explain

N, LABELS = 120, ["cat", "dog", "emu"]
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
GATES = [{"at_least": 0.3}, {"beats": "tfidf"}, {"beats": "champion"}]
OLD = Champion("2", "c" * 64)


def table(right: int, classes: list[str] = LABELS) -> Table:
    p = np.full((N, len(classes)), 0.1, dtype=np.float32)
    for i, label in enumerate(TRUTH):
        p[i, (classes.index(label) + (i >= right)) % len(classes)] = 0.8
    return Table.of(IDS, TRUTH, p, classes)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """The out folder of a ``scores`` step."""
    out = tmp_path / "scores"
    leave_scores(out, {model: table(right) for model, right in (("adapted", 110), ("base", 90), ("tfidf", 60))}, LABELS)
    return out


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    predictions.write(tmp_path / "champion.parquet", table(80))
    return tmp_path / "champion.parquet"


def test_a_verdict_is_rebuilt_byte_for_byte_wherever_the_evidence_lies(scores, champion, tmp_path):
    verdict = decide("demo", GATES, 17, scores, OLD, champion, None, tmp_path / "evidence")
    text = (tmp_path / "evidence" / "verdict.json").read_text()
    shutil.move(tmp_path / "evidence", tmp_path / "archive")
    shutil.rmtree(scores)
    assert verdict.outcome == "pass"
    assert rebuild(tmp_path / "archive") == text
    assert explain.explanation(tmp_path / "archive").outcome == "pass"


def test_deciding_twice_leaves_the_same_bytes_and_no_stale_champion(scores, champion, tmp_path):
    decide("demo", GATES, 17, scores, None, None, None, tmp_path / "once")
    decide("demo", GATES, 17, scores, OLD, champion, None, tmp_path / "twice")
    decide("demo", GATES, 17, scores, None, None, None, tmp_path / "twice")
    assert files.tree(tmp_path / "once") == files.tree(tmp_path / "twice")
    assert set(files.tree(tmp_path / "once")) == {
        "predictions/adapted.parquet",
        "predictions/base.parquet",
        "predictions/tfidf.parquet",
        "labels.json",
        "decision.json",
        "measurements.json",
        "verdict.json",
    }


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        ({"code": "failed", "message": "it does not load: no model.safetensors"}, "it does not load"),
        (None, "it was not scored on these rows"),
    ],
)
def test_a_champion_that_cannot_be_compared_with_still_gets_a_verdict(problem, says, scores, tmp_path):
    verdict = decide("demo", GATES, 17, scores, OLD, None, problem, tmp_path / "evidence")
    assert verdict.outcome == "inconclusive"
    assert says in sentence(verdict.findings[-1])
    assert rebuild(tmp_path / "evidence") == (tmp_path / "evidence" / "verdict.json").read_text()


def test_predictions_on_other_rows_leave_no_verdict(scores, tmp_path):
    half = Table.of(IDS[:60], TRUTH[:60], table(60).p[:60], LABELS)
    predictions.write(tmp_path / "champion.parquet", half)
    with pytest.raises(EnvironmentFault, match=r"champion lack 60 of adapted's rows, the first is 'r060'"):
        decide("demo", GATES, 17, scores, OLD, tmp_path / "champion.parquet", None, tmp_path / "evidence")
    assert not (tmp_path / "evidence" / "verdict.json").exists()


def sliced(scores: Path) -> None:
    kinds = {"source": [f"s{i % 2}" for i in range(N)], "secret": [f"p{i}" for i in range(N)], "text_length": ["up to 8 words"] * N}
    write_table(scores / "slices.parquet", {"id": IDS, **kinds})


def test_slices_flips_and_measurements_lie_in_the_evidence_and_are_rebuilt(scores, champion, tmp_path):
    sliced(scores)
    gates = [*GATES, {"slices": ["source"], "non_inferior_by": 0.2}, {"negative_flips": {"max": 0.1}}, {"holdout": {"budget": 9}}]
    verdict = decide("demo", gates, 17, scores, OLD, champion, None, tmp_path / "evidence", decisions=4)
    shutil.rmtree(scores)
    assert [f.outcome for f in verdict.findings[-3:]] == ["pass", "pass", "pass"]
    kept = pq.read_table(tmp_path / "evidence" / "slices.parquet").column_names
    assert kept == ["id", "source", "text_length"], "a column that no gate asks for stays with the data"
    assert (tmp_path / "evidence" / "negative_flips.csv").read_text() == "id,label,champion,candidate\n"
    explanation = explain.explanation(tmp_path / "evidence")
    assert explanation.measurements["decisions_on_these_rows"] == 4
    told = "\n".join(explain.lines(explanation))
    assert "source = s0 (60 rows): 0.917 (" in told
    assert "True differences that these rows show with 80 % power:" in told
    assert "accuracy against the champion on the slice that decides: passes with" in told


def test_what_adaptation_was_expected_to_change_is_bound_by_decisions_of_0_2_and_written_by_none_of_now(scores, champion, tmp_path):
    expected, decision = tmp_path / "adaptation.json", tmp_path / "decision.json"
    files.write_json(expected, {"schema": 2, "metric": "macro_f1", "predicted": None, "earlier": []})
    decide("demo", GATES, 17, scores, OLD, champion, None, tmp_path)
    told = list(explain.lines(explain.explanation(tmp_path)))
    assert "adaptation" not in files.read_json(decision)
    files.write_json(decision, {**files.read_json(decision), "adaptation": files.sha256_file(expected)})
    assert list(explain.lines(explain.explanation(tmp_path))) == told
    assert rebuild(tmp_path) == (tmp_path / "verdict.json").read_text()
    files.write_json(expected, {})
    with pytest.raises(EnvironmentFault, match=r"adaptation\.json is changed since the decision"):
        rebuild(tmp_path)


def test_one_flipped_row_is_called_one_and_nothing_is_said_of_clean_rows_where_no_gate_asks(scores, champion, tmp_path):
    decide("demo", GATES, 17, scores, OLD, champion, None, tmp_path / "evidence")
    explanation = explain.explanation(tmp_path / "evidence")
    one = replace(explanation.flips[0], gained=1, lost=1)
    told = "\n".join(explain.lines(replace(explanation, flips=(one,))))
    assert "1 row newly right, 1 newly wrong" in told
    assert "clean" not in told


def test_the_rows_that_got_worse_are_listed(scores, champion, tmp_path):
    better = table(80)
    better = Table.of(IDS, TRUTH, np.roll(better.p, 5, axis=0)[:, [0, 1, 2]], LABELS)
    predictions.write(champion, better)
    decide("demo", GATES, 17, scores, OLD, champion, None, tmp_path / "evidence")
    explanation = explain.explanation(tmp_path / "evidence")
    (flips,) = (f for f in explanation.flips if f.against == "champion")
    listed = (tmp_path / "evidence" / "negative_flips.csv").read_text().splitlines()[1:]
    assert len(listed) == flips.lost
    assert [line.split(",")[0] for line in listed][:10] == list(flips.lost_rows)


@pytest.mark.parametrize(
    ("columns", "error", "says"), [(None, EnvironmentFault, "knows no slices"), (["id"], ConfigError, "no column 'source'")]
)
def test_a_gate_on_slices_that_nobody_made_is_said(columns, error, says, scores, tmp_path):
    if columns:
        write_table(scores / "slices.parquet", {"id": IDS})
    with pytest.raises(error, match=says):
        decide("demo", [{"slices": ["source"], "non_inferior_by": 0.1}], 17, scores, None, None, None, tmp_path / "evidence")
    assert not (tmp_path / "evidence" / "verdict.json").exists()


@pytest.mark.parametrize("name", ["measurements.json", "slices.parquet"])
def test_evidence_beside_the_verdict_that_was_touched_is_found_out(name, scores, tmp_path):
    sliced(scores)
    decide("demo", GATES, 17, scores, None, None, None, tmp_path / "evidence")
    path = tmp_path / "evidence" / name
    path.write_bytes(path.read_bytes().replace(b"0.9", b"0.8").replace(b"up to 8", b"up to 9"))
    with pytest.raises(EnvironmentFault, match=f"{name} is (not what its predictions say: line|changed since the decision)"):
        explain.explanation(tmp_path / "evidence")


def test_a_decision_of_schema_1_is_judged_as_it_was_then(scores, champion, tmp_path):
    """Before power, slices and measurements: its question has no such keys, its sentences no such words."""
    evidence = tmp_path / "evidence"
    decide("demo", GATES, 17, scores, OLD, champion, None, evidence)
    decision = files.read_json(evidence / "decision.json")
    files.write_json(
        evidence / "decision.json",
        {k: v for k, v in decision.items() if k not in ("power", "interval", "slices", "decisions")} | {"schema": 1},
    )
    (evidence / "measurements.json").unlink()
    files.write_text(evidence / "verdict.json", rebuild(evidence))
    explanation = explain.explanation(evidence)
    assert explanation.measurements is None
    verdict = explanation.verdict
    assert verdict["policy_digest"] == "0c07564ff75e26c8c8ca963cd78119e1aa3865576e2c2fd87a8d56feef588d09"  # what they had
    assert not [f for f in verdict["findings"] if "power" in f["sentence"]]


def test_the_same_question_wears_the_test_rows_once(scores, tmp_path):
    ledger = Ledger(Folder(tmp_path))
    rows, asked = question(GATES, 17, scores, None)
    assert rows == "e" * 64
    for run, times in (("demo-1", 1), ("demo-2", 1)):
        assert ledger.record(rows, asked, pipeline="demo", run=run) == times
    for gates, seed, champion in ((GATES[:1], 17, None), (GATES, 18, None), (GATES, 17, OLD)):
        ledger.record(rows, question(gates, seed, scores, champion)[1], pipeline="demo", run="demo-3")
    assert (ledger.count(rows), ledger.count("f" * 64)) == (4, 0)
    files.write_json(scores / "digests.json", {**files.read_json(scores / "digests.json"), "adapted": "9" * 64})
    assert ledger.record(*question(GATES, 17, scores, None), pipeline="other", run="other-1") == 5


def test_evidence_that_was_touched_is_found_out(scores, tmp_path):
    evidence = tmp_path / "evidence"
    decide("demo", GATES, 17, scores, None, None, None, evidence)
    text = (evidence / "verdict.json").read_text()
    (evidence / "verdict.json").write_text(text.replace('"outcome": "pass"', '"outcome": "fail"', 1))
    with pytest.raises(EnvironmentFault, match="is not what its predictions say: line"):
        explain.explanation(evidence)
    (evidence / "verdict.json").write_text(text)
    predictions.write(evidence / "predictions" / "base.parquet", table(20))
    with pytest.raises(EnvironmentFault, match=r"base.parquet is changed since the decision"):
        explain.explanation(evidence)


def test_the_story_says_what_was_compared_and_what_would_change_it(scores, champion, tmp_path):
    decide("demo", GATES, 17, scores, OLD, champion, None, tmp_path / "evidence")
    told = explain.explanation(tmp_path / "evidence")
    against = {flips.against: (flips.gained, flips.lost, flips.both_right, flips.both_wrong) for flips in told.flips}
    assert against == {"champion": (30, 0, 80, 10), "base": (20, 0, 90, 10), "tfidf": (50, 0, 60, 10)}
    text = "\n".join(explain.lines(told))
    assert "PASS: adapted (aaaaaaaaaaaa) for pipeline demo" in text
    assert "Compared with champion version 2" in text
    assert "compared with the champion: 30 rows newly right, 0 newly wrong" in text
    assert "to spare; a score lower by more than that would leave it open" in text


def test_explaining_loads_no_model_library(scores, tmp_path):
    decide("demo", GATES, 17, scores, None, None, None, tmp_path / "evidence")
    code = (
        "import sys; from pathlib import Path; from regraft.reports import explain\n"
        f"list(explain.lines(explain.explanation(Path({str(tmp_path / 'evidence')!r}))))\n"
        "print(sorted({'torch', 'transformers', 'prefect', 'mlflow', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predictions_come_back_as_they_were_written(tmp_path):
    shuffled = [*range(60, N), *range(60)]
    written = Table.of([IDS[i] for i in shuffled], [TRUTH[i] for i in shuffled], table(50).p[shuffled], LABELS)
    for name in ("one", "two"):
        predictions.write(tmp_path / name, written)
    found = predictions.read(tmp_path / "one")
    assert found.ids == tuple(IDS)
    assert (found.labels, found.preds, found.classes) == (tuple(TRUTH), table(50).preds, tuple(LABELS))
    assert np.array_equal(found.p, table(50).p)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_row_without_finite_probabilities_is_named():
    p = table(50).p.copy()
    p[3, 1] = np.nan
    p[9, 0] = np.inf
    assert Table.of(IDS, TRUTH, p, LABELS).for_gates().unusable == ("r003", "r009")


def test_the_digest_of_rows_is_that_of_their_content():
    digest = rows_digest(["a", "b"], ["x", "y"], ["1", "2"])
    assert rows_digest(["b", "a"], ["y", "x"], ["2", "1"]) == digest
    assert len({digest, rows_digest(["a", "b"], ["x", "z"], ["1", "2"]), rows_digest(["a", "b"], ["x", "y"], ["1", "1"])}) == 3


def test_the_store_believes_only_what_lies_under_its_own_key(scores, tmp_path):
    store = PredictionStore(Folder(tmp_path / "store"))
    assert store.get("a" * 64, "e" * 64) is None
    store.keep(scores)
    kept = store.get("a" * 64, "e" * 64)
    assert kept is not None
    assert predictions.read(kept).preds == table(110).preds
    shutil.copytree(kept.parent, kept.parent.with_name("c" * 64))
    assert store.get("c" * 64, "e" * 64) is None, "another model's answers under this key"


def test_a_damaged_file_in_the_store_is_a_miss_that_put_mends(scores, tmp_path):
    store = PredictionStore(Folder(tmp_path / "store"))
    path = store.put("a" * 64, "e" * 64, scores / "adapted.parquet")
    before = path.read_bytes()
    at = len(before) // 3
    path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
    assert store.get("a" * 64, "e" * 64) is None
    assert store.put("a" * 64, "e" * 64, scores / "adapted.parquet") == path
    assert path.read_bytes() == before


def test_story_is_one_json_document(scores, tmp_path):
    from dataclasses import asdict

    decide("demo", GATES, 17, scores, None, None, None, tmp_path / "evidence")
    document = json.loads(json.dumps(asdict(explain.explanation(tmp_path / "evidence"))))
    assert document["verdict"] == json.loads((tmp_path / "evidence" / "verdict.json").read_text())
