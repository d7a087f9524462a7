"""The steps ``tfidf`` and ``scores`` on tiny models: the same bytes twice, and evidence that a decision can be taken on."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation import predictions
from regraft.evaluation.prediction_store import PredictionStore
from regraft.evaluation.scoring import HeldOut, score_folder
from regraft.gates.decide import decide, rebuild
from regraft.gates.verdict import Champion

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / "tests" / "tiny_classifier.py"))
LABELS = list(TINY["LABELS"])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the steps before ``scores`` leave: 90 rows, a third of them for the test, two classifiers and a baseline."""
    sys.path.append(str(ROOT))
    from tasks.tfidf import TFIDF

    home = tmp_path_factory.mktemp("inputs")
    ids, splits = [f"r{i:03d}" for i in range(90)], [("test", "train", "train")[(i // 3) % 3] for i in range(90)]
    source = [("even", "odd")[i % 2] for i in range(90)]
    texts = [f"the {('array', 'frame', 'tensor')[i % 3]} of number {i}" for i in range(90)]
    pq.write_table(
        pa.table({"id": ids, "text": texts, "label": [LABELS[i % 3] for i in range(90)], "source": source}), home / "rows.parquet"
    )
    pq.write_table(pa.table({"id": ids, "split": splits}), home / "splits.parquet")
    files.write_json(home / "labels.json", LABELS)
    rows = {"rows": home / "rows.parquet", "labels": home / "labels.json", "splits": home / "splits.parquet"}
    TFIDF.run(TFIDF.config(), rows, home / "baseline")
    return {**rows, "tfidf": home / "baseline" / "model", "adapted": TINY["make"](home / "one", 1), "base": TINY["make"](home / "two", 2)}


@pytest.fixture(scope="module")
def scored(inputs: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The out folder of ``scores``."""
    out = tmp_path_factory.mktemp("scores") / "out"
    run_scores(inputs, out)
    return out


def run_scores(inputs: Mapping[str, Path], out: Path) -> Mapping[str, float]:
    from tasks.scores import SCORES

    out.mkdir(parents=True, exist_ok=True)
    return SCORES.run(SCORES.config(task="text-classification"), inputs, out)


def test_scoring_twice_leaves_the_same_bytes(inputs, scored, tmp_path):
    metrics = run_scores(inputs, tmp_path / "out")
    assert files.tree(tmp_path / "out") == files.tree(scored)
    models = {"adapted.parquet", "base.parquet", "tfidf.parquet"}
    assert set(files.tree(scored)) == models | {"labels.json", "rows.parquet", "slices.parquet", "digests.json"}
    assert metrics["rows"] == 30
    assert metrics["tfidf_macro_f1"] == 1.0  # one word gives each label away


def test_scores_hold_the_test_rows_and_no_other(scored):
    rows = HeldOut.read(scored / "rows.parquet")
    assert list(rows.ids) == [f"r{i:03d}" for i in range(90) if (i // 3) % 3 == 0]
    for model in ("adapted", "base", "tfidf"):
        table = predictions.read(scored / f"{model}.parquet")
        assert (list(table.ids), list(table.labels), list(table.classes)) == (list(rows.ids), list(rows.labels), LABELS)
    assert files.read_json(scored / "digests.json")["rows"] == rows.digest


def test_test_rows_come_with_the_columns_of_the_data_and_the_slices_found_in_the_text(scored):
    table = pq.read_table(scored / "slices.parquet").to_pydict()
    assert list(table) == ["id", "label", "source", "text_length", "text_script", "text_oov", "text_cluster"]
    assert table["id"] == list(HeldOut.read(scored / "rows.parquet").ids)
    assert set(table["source"]) == {"odd", "even"}
    assert set(table["text_length"]) == {"any length"}
    assert set(table["text_script"]) == {"Latin"}
    assert set(table["text_oov"]) == {"up to 25 %"}, "each row has a number of its own among its five words"


def test_a_decision_is_taken_on_scores_and_rebuilt(inputs, scored, tmp_path):
    digests = files.read_json(scored / "digests.json")
    assert digests["adapted"] == files.digest(inputs["adapted"])
    champion = Champion("1", digests["base"])
    verdict = decide("demo", [{"beats": "tfidf"}], 17, scored, champion, scored / "base.parquet", None, tmp_path)
    assert verdict.outcome == "fail", "random weights do not beat a baseline that is always right"
    assert rebuild(tmp_path) == (tmp_path / "verdict.json").read_text()


def test_a_champion_scored_in_a_process_of_its_own_answers_as_in_the_step(inputs, scored, tmp_path):
    argv = [sys.executable, "-m", "regraft.evaluation", str(inputs["base"]), str(scored / "rows.parquet"), str(tmp_path / "out.parquet")]
    subprocess.run(argv, check=True, capture_output=True)
    there, here = predictions.read(tmp_path / "out.parquet"), predictions.read(scored / "base.parquet")
    digests = files.read_json(scored / "digests.json")
    assert (there.preds, there.p.tobytes()) == (here.preds, here.p.tobytes())
    assert (there.model, there.rows) == (digests["base"], digests["rows"])
    store = PredictionStore(tmp_path / "store")
    store.keep(scored)
    assert store.put(digests["base"], digests["rows"], tmp_path / "out.parquet").read_bytes() == (tmp_path / "out.parquet").read_bytes()


def test_probabilities_are_those_of_the_logits_divided_by_the_temperature(inputs, tmp_path):
    import numpy as np
    from scipy.special import softmax

    from regraft.models import kinds

    folder = shutil.copytree(inputs["base"], tmp_path / "model")
    files.write_json(folder / "calibration.json", {"schema": 1, "temperature": 2.5, "dev_rows": 30})
    model, texts = kinds.load(folder), ["the array", "the frame of number 3"]
    np.testing.assert_allclose(model.predict(texts), softmax(model.logits(texts) / 2.5, axis=1), rtol=1e-5)


@pytest.mark.parametrize("damage", ["model.safetensors", "labels.json", "tokenizer.json"])
def test_a_model_that_does_not_load_is_said_to(damage, inputs, scored, tmp_path):
    broken = shutil.copytree(inputs["base"], tmp_path / "model")
    (broken / damage).write_bytes((broken / damage).read_bytes()[:20])
    with pytest.raises(EnvironmentFault, match="does not load or predict"):
        score_folder(broken, HeldOut.read(scored / "rows.parquet"))


def test_a_missing_model_leaves_no_file(scored, tmp_path):
    argv = [
        sys.executable,
        "-m",
        "regraft.evaluation",
        str(tmp_path / "nothing"),
        str(scored / "rows.parquet"),
        str(tmp_path / "out.parquet"),
    ]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 8
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(f"the model in {tmp_path / 'nothing'} does not load: serving.json does not say what it is: ")
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.parquet").exists()
