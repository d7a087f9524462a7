"""Methods for few labels: `prototype`, `zero_shot`, `contrastive`; what they leave, and what they do with rows that are hardly there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from stopping import stopped_at
from tinyspace import TOPIC_WORDS, tiny_rows

from regraft.core import files
from regraft.core.errors import ConfigError, DataRejected, Interrupted
from regraft.core.progress import Running, running
from regraft.models import kinds
from regraft.training import loop
from regraft.training.finetuning import finetune
from regraft.training.methods.contrastive import Pairs
from regraft.training.methods.prototype import nearest
from regraft.training.options import finetune_options
from regraft.training.rows import Rows

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture(scope="module")
def rows():
    """8 training rows a class, the others for dev."""
    table = pd.DataFrame(tiny_rows())
    table["split"] = ["train" if int(row[-3:]) < 8 else "dev" for row in table["id"]]
    return table


def train(base, rows, out, method, checkpoints=None, **own):
    with running(Running(pipeline="tiny", checkpoints=checkpoints)):
        options = finetune_options({"max_length": 16}, {"method": method, **own})
        return finetune(base, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out)


def test_logits_of_prototypes_are_distances_and_a_class_without_rows_is_never_nearest():
    draw = np.random.default_rng(2)
    x, queries, truth = draw.normal(size=(30, 5)), draw.normal(size=(200, 5)) * 3, np.arange(30) % 2 * 2
    weight, bias = nearest(x, truth, 3)
    logits = queries @ weight.T + bias
    means = {label: x[truth == label].mean(axis=0) for label in (0, 2)}
    distances = {label: np.square(queries - mean).sum(axis=1) for label, mean in means.items()}
    np.testing.assert_allclose(logits[:, 0] - logits[:, 2], 10 * (distances[2] - distances[0]))
    assert (logits[:, 1] <= logits[:, [0, 2]].max(axis=1) - 20 + 1e-9).all()


def test_prototypes_learn_from_few_rows_and_answer_as_they_were_measured(base, rows, tmp_path):
    metrics = train(base, rows, tmp_path / "model", "prototype")
    assert metrics["dev_accuracy"] > 0.5  # three classes; an encoder of random weights
    served, dev = kinds.load(tmp_path / "model"), rows[rows["split"] == "dev"]
    right = [served.labels[best] for best in served.predict(dev["text"].tolist()).argmax(axis=1)] == dev["label"]
    assert right.mean() == metrics["dev_accuracy"]
    from regraft.evaluation.embeddings import Encoder
    from regraft.models import tokenizer

    ids = [np.asarray(row) for row in tokenizer.load(base)(dev["text"].tolist()[:5])["input_ids"]]
    read = Encoder(base, "mean").vectors(ids)
    read /= np.linalg.norm(read, axis=1, keepdims=True)
    np.testing.assert_allclose(served.logits(dev["text"].tolist()[:5]), read @ served.model.weight.T + served.model.bias, atol=1e-4)


def test_descriptions_answer_without_a_label_and_have_to_be_of_the_labels(base, rows, tmp_path):
    metrics = train(base, rows, tmp_path / "model", "zero_shot", descriptions=TOPIC_WORDS)
    assert metrics["dev_accuracy"] > 0.5
    shuffled = rows.assign(label=[*rows["label"][40:], *rows["label"][:40]])
    train(base, shuffled, tmp_path / "other", "zero_shot", descriptions=TOPIC_WORDS)
    assert files.sha256_file(tmp_path / "other/head.safetensors") == files.sha256_file(tmp_path / "model/head.safetensors")
    with pytest.raises(ConfigError, match=r"finetune\.descriptions says nothing about kitchen") as refused:
        train(base, rows, tmp_path / "none", "zero_shot", descriptions={"garden": "soil", "harbour": "ships"})
    assert refused.value.fix == "describe 'kitchen' in the pipeline file"
    with pytest.raises(ConfigError, match="no row has the label 'kitchn'; did you mean 'kitchen'"):
        train(base, rows, tmp_path / "none", "zero_shot", descriptions={**TOPIC_WORDS, "kitchn": "pans"})


def test_pairs_are_half_of_one_class_and_follow_from_seed_and_step():
    truth = np.array([0] * 5 + [1] * 4 + [2])
    options = finetune_options({}, {"method": "contrastive", "pairs": 6, "batch_size": 8})
    rows = Rows([np.arange(3)] * 10, truth, 8, 0, 17, [str(i) for i in range(10)])
    pairs = Pairs(rows, options)
    assert pairs.steps == 15
    made = [pairs.chosen(step) for step in range(pairs.steps)]
    chosen, alike = np.concatenate([each for each, _ in made]), np.concatenate([each for _, each in made])
    assert alike.sum() == 60
    assert (np.bincount(chosen[:, 0]) == 12).all(), "each row begins as many pairs as any other"
    assert all(first != second or truth[first] == 2 for first, second in chosen), "a row meets itself only where it is alone"
    assert all((pairs.chosen(step)[0] == made[step][0]).all() for step in (3, 11))
    assert (Pairs(Rows(rows.ids, truth, 8, 0, 18, rows.names), options).chosen(3)[0] != made[3][0]).any()


def test_contrastive_brings_classes_apart_and_is_continued_to_the_same_bytes_by_any_number_of_workers(base, rows, tmp_path, monkeypatch):
    own = {"pairs": 10, "learning_rate": 5e-3}
    whole = train(base, rows, tmp_path / "whole", "contrastive", **own)
    assert (whole["pairs"], whole["steps"]) == (480, 30)
    assert whole["dev_accuracy"] > train(base, rows, tmp_path / "means", "prototype")["dev_accuracy"] - 0.05
    assert kinds.kind_of(tmp_path / "whole") == "embedding_head"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "workers", lambda _: 1)  # and goes on with as many as there are
        with stopped_at(11), pytest.raises(Interrupted):
            train(base, rows, tmp_path / "cut", "contrastive", checkpoints=tmp_path / "checkpoints", **own)
    assert train(base, rows, tmp_path / "cut", "contrastive", checkpoints=tmp_path / "checkpoints", **own) == whole
    assert files.tree(tmp_path / "cut") == files.tree(tmp_path / "whole")


def test_one_class_is_refused(base, rows, tmp_path):
    with pytest.raises(DataRejected, match="the training rows hold 1 label"):
        train(base, rows[rows["label"] == "garden"], tmp_path / "model", "contrastive")
