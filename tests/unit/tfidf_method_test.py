"""The method and the kind `tfidf`: the baseline as a model that can be released, served without scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tinyspace import tiny_rows

from regraft.core import files
from regraft.core.errors import DataRejected
from regraft.core.words import TOKEN
from regraft.models import kinds
from regraft.models.tfidf import Tfidf
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options
from regraft.training.plugins import METHODS

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture
def rows():
    table = pd.DataFrame(tiny_rows())
    table["split"] = [["train", "train", "dev", "test"][number % 4] for number in range(len(table))]
    return table


def train(rows, out, **own):
    options = finetune_options({"epochs": 3, "learning_rate": 0.1}, {"method": "tfidf", **own})
    return finetune(None, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out)


def test_it_answers_as_the_baseline_does_and_is_measured_as_it_is_served(rows, tmp_path):
    metrics = train(rows, tmp_path / "model")
    learned = rows[rows["split"] == "train"].sort_values("id")
    baseline = Tfidf.train(learned["text"].tolist(), learned["label"].tolist(), LABELS, max_ngram=2, inverse_regularization=10.0)
    dev = rows.loc[rows["split"] == "dev"]
    texts = [*dev["text"], "unheard of", "", "ROSE, rose; Seed-soil"]
    served = kinds.load(tmp_path / "model")
    p = served.model.probabilities(served.logits(texts))
    np.testing.assert_allclose(p, baseline.predict(texts), atol=1e-6)
    assert np.mean([served.labels[i] for i in p[: len(dev)].argmax(axis=1)] == dev["label"]) == metrics["dev_accuracy"]
    assert metrics["terms"] == len(baseline.vocabulary)


def test_the_folder_holds_json_and_safetensors_and_says_its_kind(rows, tmp_path):
    train(rows, tmp_path / "model", max_ngram=1)
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    assert files.read_json(tmp_path / "model" / "serving.json") == {"schema": 1, "kind": "tfidf", "text_column": "text", "word": TOKEN}
    assert not [term for term in files.read_json(tmp_path / "model" / "vocabulary.json") if " " in term]


def test_a_class_without_a_training_row_costs_a_finite_loss(rows, tmp_path):
    rows.loc[rows["label"] == "kitchen", "split"] = "dev"
    assert np.isfinite(train(rows, tmp_path / "model")["dev_loss"])
    rows.loc[rows["label"] == "harbour", "split"] = "dev"
    with pytest.raises(DataRejected, match=r"the training rows hold 1 label\(s\)"):
        train(rows, tmp_path / "other")


def test_it_reads_no_encoder_and_is_the_simplest_method():
    assert METHODS["tfidf"].starts == ()
    assert min(METHODS, key=lambda name: METHODS[name].rank) == "tfidf"
    assert len({METHODS[name].rank for name in METHODS}) == len(list(METHODS)), (
        "two methods of one rank leave the choice to the file's order"
    )
