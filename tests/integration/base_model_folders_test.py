"""Base models of other makers: what sentence-transformers reads of a folder, and layers that share their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_models import make
from tinyspace import tiny_rows, write_tiny_model

from regraft.core.progress import Running, running
from regraft.evaluation.embeddings import Encoder
from regraft.models import tokenizer
from regraft.models.kinds import load
from regraft.models.kinds.embedding_head import encode
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options

LABELS = ["garden", "harbour", "kitchen"]


def rows() -> pd.DataFrame:
    """Of each class some to learn from and some to measure on."""
    table = pd.DataFrame(tiny_rows(8))
    table["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(table))]
    return table


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_sentence_transformers_reads_the_vectors_that_methods_read_and_a_probe_answers_alike(tmp_path: Path, pooling: Any) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    base = write_tiny_model(tmp_path / "tiny")
    transformer = Transformer(str(base))
    SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode=pooling)], device="cpu").save(str(tmp_path / "theirs"))
    theirs = tmp_path / "theirs"
    texts = [row["text"] for row in tiny_rows(4)]
    vectors = SentenceTransformer(str(theirs), device="cpu").encode(texts)
    ids = [np.array(row) for row in encode(tokenizer.load(theirs), texts, 32)]
    np.testing.assert_allclose(Encoder(theirs, pooling).vectors(ids), vectors, atol=1e-5)

    options = finetune_options({}, {"method": "linear_probe", "pooling": pooling, "max_length": 32})
    finetune(theirs, rows(), LABELS, options, name="f", text_column="text", seed=17, out=tmp_path / "model")
    served = load(tmp_path / "model")
    logits = vectors @ served.model.weight.T + served.model.bias
    np.testing.assert_allclose(served.logits(texts), logits, atol=1e-4)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"method": "gradual_unfreezing", "groups": 2, "epochs": 3}, "finetune.groups is 2, and the layers of this model are 1"),
        ({"layer_decay": 0.9}, "finetune.layer_decay changes nothing: this model has one layer, or one set of weights for all"),
    ],
    ids=["gradual_unfreezing", "layer_decay"],
)
def test_what_asks_for_several_layers_says_where_all_are_one(tmp_path: Path, own: dict[str, Any], says: str) -> None:
    base, context = make(tmp_path / "albert", "albert"), Running(pipeline="p")
    options = finetune_options({"epochs": 1, "batch_size": 16, "max_length": 16}, own)
    with running(context):
        finetune(base, rows(), LABELS, options, name="f", text_column="text", seed=17, out=tmp_path / "out")
    assert any(says in message for message in context.warned)
