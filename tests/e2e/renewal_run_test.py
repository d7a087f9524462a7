"""Worn test rows renewed: the next run trains on them, is judged on rows that nobody has seen, and its budget begins anew."""

from __future__ import annotations

import json
import random

import pyarrow.parquet as pq
import pytest
import yaml
from everything import FLOOR, KEPT, configure
from tinyspace import TOPICS, sentence
from workbench import regraft

from regraft.core import files


def splits(root):
    table = pq.read_table(root / "artifacts/tiny/splits/out/splits.parquet").to_pydict()
    return dict(zip(table["id"], table["split"], strict=True))


@pytest.mark.release("integration/renewal_test.py renews; unit/gates_questions_test.py judges the budget of decisions")
def test_a_run_after_a_renewal_is_judged_on_rows_of_which_nothing_was_decided(ran, ask):
    root = ran.root
    worn = {key for key, split in splits(root).items() if split == "test"}
    assert ran.measurements["decisions_on_these_rows"] == 1
    rng = random.Random(11)
    with (root / "data/rows.jsonl").open("a") as rows:
        for topic in TOPICS:
            for number in range(60):
                text = sentence(rng, topic, 14)
                rows.write(json.dumps({"id": f"july-{topic}-{number}", "text": text, "label": topic, "half": "first"}) + "\n")
    assert ask(root, "renew-test", "tiny").code == 0

    pipeline = yaml.safe_load((root / "pipelines/tiny.yaml").read_text())
    files.write_text(root / "pipelines/tiny.yaml", yaml.safe_dump({**pipeline, "adapt": "never"}, sort_keys=False))
    configure(root, gates=[FLOOR, {"metric": "accuracy", "beats": "champion"}, {"holdout": {"budget": 1}}, KEPT[0]])
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode in (0, 4, 5), "44 rows and an encoder of random weights: whether it beats the champion is not the point"
    result = json.loads(done.stdout)

    now = splits(root)
    testing = {key for key, split in now.items() if split == "test"}
    assert {now[key] for key in worn & now.keys()} == {"train"}
    assert testing
    assert all(key.startswith("july-") for key in testing)
    evidence = root / "state/mlartifacts/tiny" / result["mlflow_run_id"] / "artifacts/evidence"
    for model in ("base", "champion", "tfidf"):
        assert set(pq.read_table(evidence / "predictions" / f"{model}.parquet")["id"].to_pylist()) == testing, model
    measured = files.read_json(evidence / "measurements.json")
    assert measured["decisions_on_these_rows"] == 1
    (holdout,) = [finding for finding in files.read_json(evidence / "verdict.json")["findings"] if finding["gate"] == "holdout"]
    assert holdout["outcome"] == "pass"
