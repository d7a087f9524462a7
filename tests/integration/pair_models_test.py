"""A model that reads two texts: trained, opened by plain transformers, registered and asked through MLflow."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tinyspace import TOPICS, sentence, write_tiny_model

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.data import pairs
from regraft.evaluation import token_ids
from regraft.models import kinds
from regraft.registry import registration
from regraft.registry.tracking import Tracker
from regraft.training.finetuning import finetune
from regraft.training.methods.full import FullOptions

LENGTH = 16


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = random.Random(4)
    topics = sorted(TOPICS)[:2]
    drawn = [(rng.choice(topics), rng.choice(topics)) for _ in range(60)]
    texts = [pairs.join(sentence(rng, one, 20 if n % 2 else 4), sentence(rng, other, 6)) for n, (one, other) in enumerate(drawn)]
    labels = ["same" if one == other else "other" for one, other in drawn]
    split = ["dev" if n % 6 == 0 else "train" for n in range(60)]
    return pd.DataFrame({"id": [f"r{n:02d}" for n in range(60)], "text": texts, "label": labels, "split": split})


@pytest.fixture(scope="module")
def model(rows, tmp_path_factory) -> Path:
    base, out = write_tiny_model(tmp_path_factory.mktemp("base") / "tiny"), tmp_path_factory.mktemp("tuned") / "model"
    options = FullOptions(epochs=1, batch_size=8, max_length=LENGTH)
    where = {"text_column": "premise", "text_pair": "hypothesis", "out": out}
    finetune(base, rows, ["other", "same"], options, name="finetune", seed=3, **where)
    return out


def test_plain_transformers_gives_the_same_numbers_of_both_columns(model, rows):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    ours, texts = kinds.load(model), rows["text"].tolist()
    plain, tokenizer = AutoModelForSequenceClassification.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    first, second = map(list, zip(*map(pairs.apart, texts), strict=True))
    batch = tokenizer(first, second, truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
    assert "token_type_ids" not in batch
    assert batch["input_ids"].shape[1] == LENGTH < max(map(len, tokenizer(first, second)["input_ids"]))
    with torch.inference_mode():
        theirs = plain.eval()(**batch).logits.numpy()
    np.testing.assert_allclose(ours.logits(texts), theirs, atol=1e-5)
    assert (ours.logits(texts) == ours.logits(list(zip(first, second, strict=True)))).all()
    assert token_ids.compared(model, texts)["problem"] is None


def test_both_texts_and_their_order_matter(model):
    model = kinds.load(model)
    one, other, third = (sorted(TOPICS[topic])[0] for topic in sorted(TOPICS)[:3])
    asked = [(one, other), (one, third), (other, one)]
    assert len(np.unique(model.logits(asked), axis=0)) == 3


@pytest.mark.parametrize(
    ("row", "error", "says"),
    [
        ("one text", ValueError, "row 1 is not two texts, which this model reads"),
        (("a", f"b {pairs.MARK}"), ValueError, "row 1 is not two texts"),
        (("a", "b", "c"), ValueError, "row 1 is not two texts"),
        (("a", None), TypeError, "pairs must be two strings; row 1"),
        (None, TypeError, "pairs must be two strings; row 1: NoneType"),
    ],
)
def test_a_row_that_is_no_pair_is_refused_by_its_number(model, row, error, says):
    with pytest.raises(error, match=says):
        kinds.load(model).predict([("a", "b"), row])


def test_a_registered_model_is_asked_by_the_names_of_both_columns(model, rows, tmp_path):
    import mlflow

    tracker, run = Tracker(Workspace(tmp_path)), "demo-20260101T000001-abcdef"
    texts = rows["text"].tolist()
    version = registration.register(
        tracker, "demo", run_id=tracker.start_run("demo", run), run_name=run, model_dir=model, digest=files.digest(model),
        verdict={"outcome": "pass", "rows": {"digest": "rows"}, "champion": None}, input_example=texts[:2], data_hashes={}, git_sha=None,
    )  # fmt: skip
    served = mlflow.pyfunc.load_model(str(registration.model_root(tracker, "demo", version)))
    assert list(served.input_example.columns) == ["premise", "hypothesis"]
    frame = pd.DataFrame(list(map(pairs.apart, texts)), columns=["premise", "hypothesis"])[["hypothesis", "premise"]]
    np.testing.assert_allclose(served.predict(frame)["score"], kinds.load(model).predict(texts).max(axis=1), rtol=1e-6)
    for bad in (["a"], pd.DataFrame({"premise": ["a"]}), pd.DataFrame({"premise": ["a"], "hypothesis": [None]})):
        with pytest.raises(Exception, match="hypothesis"):
            served.predict(bad)
