"""The steps ``tfidf``, ``held_out`` and ``score`` on tiny models: the same bytes twice, and evidence that a decision can be taken on."""

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
from regraft.core.workspace import Workspace
from regraft.evaluation import predictions
from regraft.evaluation.prediction_store import PredictionStore
from regraft.evaluation.scoring import HeldOut, score_folder
from regraft.gates.decide import decide, rebuild
from regraft.gates.verdict import Champion
from regraft.production.step_outputs import gather
from regraft.registry.stores.folder import Folder

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / "tests" / "tiny_classifier.py"))
LABELS = list(TINY["LABELS"])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the steps before ``held_out`` and ``score`` leave: 90 rows, 30 test and 12 dev rows among them, two classifiers, a baseline."""
    sys.path.append(str(ROOT))
    from tasks.tfidf import TFIDF

    home = tmp_path_factory.mktemp("inputs")
    ids, splits = [f"r{i:03d}" for i in range(90)], [("test", "dev" if i < 36 else "train", "train")[(i // 3) % 3] for i in range(90)]
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
    """The folder with what ``held_out`` and each ``score`` left."""
    home = tmp_path_factory.mktemp("scores")
    run_scores(inputs, home)
    return home


def run_scores(inputs: Mapping[str, Path], home: Path) -> dict[str, Mapping[str, float]]:
    """Step -> metrics, of the steps that hold rows out and score both candidates on them; their outputs lie below ``home``."""
    from tasks.held_out import HELD_OUT
    from tasks.score import SCORE

    held_out = home / "held_out" / "out"
    held_out.mkdir(parents=True)
    rows = {name: inputs[name] for name in ("rows", "labels", "splits", "tfidf")}
    metrics = {"held_out": HELD_OUT.run(HELD_OUT.config(), rows, held_out)}
    for candidate in ("base", "adapted"):
        out = home / f"score-{candidate}" / "out"
        out.mkdir(parents=True)
        splits = {split: held_out / f"{split}.parquet" for split in ("dev", "test")}
        metrics[out.parent.name] = SCORE.run(SCORE.config(task="text-classification"), {"model": inputs[candidate], **splits}, out)
    return metrics


def gathered(scored: Path, into: Path) -> Path:
    """What a decision reads of it."""
    root = into / "w"
    shutil.copytree(scored, root / "artifacts" / "demo")
    return gather(Workspace(root), "demo", {"gates": []}, into / "steps")


def test_scoring_twice_leaves_the_same_bytes_and_no_metric_of_the_test_rows(inputs, scored, tmp_path):
    metrics = run_scores(inputs, tmp_path)
    assert files.tree(tmp_path) == files.tree(scored)
    assert set(files.tree(scored / "score-base" / "out")) == {"dev.parquet", "test.parquet", "digests.json"}
    assert metrics == {step: {"test": 30, "dev": 12} for step in ("held_out", "score-base", "score-adapted")}


def test_answers_are_those_to_the_test_and_dev_rows_and_no_other(scored):
    dealt = {"test": [i for i in range(90) if (i // 3) % 3 == 0], "dev": [i for i in range(90) if (i // 3) % 3 == 1 and i < 36]}
    for split, numbers in dealt.items():
        rows = HeldOut.read(scored / "held_out" / "out" / f"{split}.parquet")
        assert list(rows.ids) == [f"r{i:03d}" for i in numbers]
        for candidate in ("adapted", "base"):
            out = scored / f"score-{candidate}" / "out"
            table = predictions.read(out / f"{split}.parquet")
            assert (list(table.ids), list(table.labels), list(table.classes)) == (list(rows.ids), list(rows.labels), LABELS)
            assert files.read_json(out / "digests.json")[split] == rows.digest
    baseline = predictions.read(scored / "held_out" / "out" / "tfidf.parquet")
    assert baseline.preds == baseline.labels, "one word gives each label away"


def test_test_rows_come_with_the_columns_of_the_data_and_the_slices_found_in_the_text(scored):
    held_out = scored / "held_out" / "out"
    table = pq.read_table(held_out / "slices.parquet").to_pydict()
    assert list(table) == ["id", "label", "source", "text_length", "text_script", "text_oov", "text_cluster"]
    assert table["id"] == list(HeldOut.read(held_out / "test.parquet").ids)
    assert set(table["source"]) == {"odd", "even"}
    assert set(table["text_length"]) == {"any length"}
    assert set(table["text_script"]) == {"Latin"}
    assert set(table["text_oov"]) == {"up to 25 %"}, "each row has a number of its own among its five words"


def test_a_decision_is_taken_on_scores_and_rebuilt(inputs, scored, tmp_path):
    scored = gathered(scored, tmp_path)
    digests = files.read_json(scored / "digests.json")
    assert digests["adapted"] == files.digest(inputs["adapted"])
    champion = Champion("1", digests["base"])
    verdict = decide("demo", [{"beats": "tfidf"}], 17, scored, champion, scored / "base.parquet", None, tmp_path / "evidence")
    assert verdict.outcome == "fail", "random weights do not beat a baseline that is always right"
    assert rebuild(tmp_path / "evidence") == (tmp_path / "evidence" / "verdict.json").read_text()


def test_a_champion_scored_in_a_process_of_its_own_answers_as_in_the_step(inputs, scored, tmp_path):
    scored = gathered(scored, tmp_path)
    argv = [sys.executable, "-m", "regraft.evaluation", str(inputs["base"]), str(scored / "rows.parquet"), str(tmp_path / "out.parquet")]
    subprocess.run(argv, check=True, capture_output=True)
    there, here = predictions.read(tmp_path / "out.parquet"), predictions.read(scored / "base.parquet")
    digests = files.read_json(scored / "digests.json")
    assert (there.preds, there.p.tobytes()) == (here.preds, here.p.tobytes())
    assert (there.model, there.rows) == (digests["base"], digests["rows"])
    store = PredictionStore(Folder(tmp_path / "store"))
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
        score_folder(broken, HeldOut.read(scored / "held_out" / "out" / "test.parquet"))


def test_a_missing_model_leaves_no_file(scored, tmp_path):
    argv = [
        sys.executable,
        "-m",
        "regraft.evaluation",
        str(tmp_path / "nothing"),
        str(scored / "held_out" / "out" / "test.parquet"),
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
