"""The method `linear_probe`: vectors that are functions of their rows, a store that changes no byte, a folder that answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tinyspace import tiny_table

from regraft.core import files
from regraft.core.errors import ConfigError, DataRejected, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.evaluation import embeddings
from regraft.evaluation.embeddings import Encoder
from regraft.models import kinds, sentence_folder, tokenizer
from regraft.models.kinds import embedding_head
from regraft.models.served import MARK
from regraft.training import vectors
from regraft.training.finetuning import finetune
from regraft.training.methods.linear_probe import GRID, fitted
from regraft.training.options import finetune_options


@pytest.fixture(scope="module")
def rows():
    return tiny_table("train", "train", "dev", "test", "train")


def probe(base, rows, out, store=None, **own):
    labels = sorted(set(rows["label"]))
    with running(Running(pipeline="tiny", embeddings=store)):
        options = finetune_options({}, {"method": "linear_probe", "max_length": 16, **own})
        return finetune(base, rows, labels, options, name="finetune", text_column="text", seed=17, out=out)


def token_ids(base, texts):
    return [np.asarray(row, dtype=np.int64) for row in tokenizer.load(base)(texts)["input_ids"]]


def test_a_vector_does_not_depend_on_what_stands_beside_it_or_where(base, rows):
    source, ids = Encoder(base, "mean"), token_ids(base, rows["text"].tolist()[:70])
    together = source.vectors(ids)
    assert (source.vectors(ids[::-1])[::-1] == together).all()
    assert (np.concatenate([source.vectors([row]) for row in ids[:5]]) == together[:5]).all()


def test_what_was_embedded_is_read_and_the_model_is_the_same_to_the_byte(base, rows, tmp_path, monkeypatch):
    store = tmp_path / "store"
    first = probe(base, rows, tmp_path / "first", store)
    assert first["embedded"] == len(set(rows.loc[rows["split"] != "test", "text"]))
    monkeypatch.setattr(Encoder, "vectors", lambda *_: pytest.fail("a vector was computed that the store has"))
    again = probe(base, rows, tmp_path / "again", store)
    assert again == {**first, "embedded": 0}
    assert files.tree(tmp_path / "again") == files.tree(tmp_path / "first")


def test_without_a_store_or_with_one_that_lost_a_segment_it_is_the_same_model(base, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "SEGMENT", 20)
    probe(base, rows, tmp_path / "whole", tmp_path / "store")
    (folder,) = (tmp_path / "store").iterdir()
    segments = sorted(folder.iterdir())
    assert len(segments) > 3
    max(segments, key=lambda path: path.stat().st_size).unlink()  # a full one: the last is shorter, and names are hashes
    assert probe(base, rows, tmp_path / "mended", tmp_path / "store")["embedded"] == 20
    probe(base, rows, tmp_path / "alone")
    assert files.tree(tmp_path / "mended") == files.tree(tmp_path / "whole") == files.tree(tmp_path / "alone")


def test_stopped_in_the_middle_it_goes_on_from_the_vectors_it_has(base, rows, tmp_path, monkeypatch):
    probe(base, rows, tmp_path / "whole")
    monkeypatch.setattr(embeddings, "SEGMENT", 20)
    computed, plain = [], Encoder.vectors

    def stopping(self, ids):
        computed.append(len(ids))
        if sum(computed) >= 40:
            STOP.set()
        return plain(self, ids)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "vectors", stopping)
        with pytest.raises(Interrupted, match=r"stopped after 40 of [0-9]+ texts, whose vectors are kept"):
            probe(base, rows, tmp_path / "cut", tmp_path / "store")
    STOP.clear()
    texts = len(set(rows.loc[rows["split"] != "test", "text"]))
    assert probe(base, rows, tmp_path / "cut", tmp_path / "store")["embedded"] == texts - 40
    assert files.tree(tmp_path / "cut") == files.tree(tmp_path / "whole")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_folder_answers_through_its_kind_as_it_was_measured(base, rows, tmp_path, pooling):
    metrics = probe(base, rows, tmp_path / "model", pooling=pooling)
    assert files.read_json(tmp_path / "model" / "serving.json")["kind"] == "embedding_head"
    served = kinds.load(tmp_path / "model")
    dev = rows[rows["split"] == "dev"]
    p = served.predict(dev["text"].tolist())
    right = [served.labels[best] == label for best, label in zip(p.argmax(axis=1), dev["label"], strict=True)]
    assert np.mean(right) == metrics["dev_accuracy"]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert (served.predict(dev["text"].tolist()[::-1], batch_size=5)[::-1].argmax(axis=1) == p.argmax(axis=1)).all()
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".txt"}


def test_one_text_costs_a_small_batch_whatever_batches_the_caller_wants(base, rows, tmp_path):
    probe(base, rows, tmp_path / "model")
    served, shapes = kinds.load(tmp_path / "model"), []
    served.model.encoder.register_forward_pre_hook(lambda _, given, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True)
    served.predict(["seed soil rose"], batch_size=64)
    assert shapes == [(embedding_head.TOKENS // 8, 8)]


def test_pairs_are_embedded_as_pairs_in_training_and_in_production(base, rows, tmp_path):
    pairs = rows.assign(text=[f"{text} {MARK} {label}" for text, label in zip(rows["text"], rows["label"], strict=True)])
    options = finetune_options({}, {"method": "linear_probe", "max_length": 32})
    names = {"name": "finetune", "text_column": "text", "text_pair": "other", "seed": 17}
    metrics = finetune(base, pairs, sorted(set(rows["label"])), options, out=tmp_path / "model", **names)
    dev = rows[rows["split"] == "dev"]
    served = kinds.load(tmp_path / "model")
    p = served.predict(list(zip(dev["text"], dev["label"], strict=True)))
    assert np.mean([served.labels[best] for best in p.argmax(axis=1)] == dev["label"]) == metrics["dev_accuracy"]
    ids = tokenizer.load(base)(dev["text"].tolist(), dev["label"].tolist(), return_token_type_ids=False)["input_ids"]
    expected = Encoder(base, "mean").vectors([np.asarray(row) for row in ids]) @ served.model.weight.T + served.model.bias
    np.testing.assert_allclose(served.logits(list(zip(dev["text"], dev["label"], strict=True))), expected, atol=1e-5)


def test_another_pooling_is_another_folder_of_the_store(base, rows, tmp_path):
    probe(base, rows, tmp_path / "mean", tmp_path / "store")
    probe(base, rows, tmp_path / "cls", tmp_path / "store", pooling="cls")
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_the_strength_is_the_one_with_the_least_loss_on_dev_rows_unless_it_is_written(base, rows, tmp_path):
    draw = np.random.default_rng(3)
    x, truth = draw.normal(size=(200, 30)), np.arange(200) % 2
    x[:, 0] += 0.4 * truth

    def loss(strength):
        weight, bias, _ = fitted(x[:60], truth[:60], x[:0], truth[:0], 2, strength)
        logits = x[60:] @ weight.T + bias
        return (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(140), truth[60:]]).mean()

    assert fitted(x[:60], truth[:60], x[60:], truth[60:], 2, None)[2] == min(GRID, key=loss)
    assert fitted(x[:60], truth[:60], x[:0], truth[:0], 2, None)[2] == 1.0
    assert probe(base, rows, tmp_path / "model", inverse_regularization=0.5)["inverse_regularization"] == 0.5


def test_a_class_without_a_training_row_is_never_the_answer_and_costs_a_finite_loss(base, rows, tmp_path):
    table = rows.assign(split=[["train", "dev"][row % 2] if label != "kitchen" else "dev" for row, label in enumerate(rows["label"])])
    metrics = probe(base, table, tmp_path / "model")
    assert np.isfinite(metrics["dev_loss"])
    served = kinds.load(tmp_path / "model")
    assert served.labels.index("kitchen") not in served.predict(rows["text"].tolist()).argmax(axis=1)


def test_one_class_is_refused_and_so_is_a_length_that_the_encoder_has_no_positions_for(base, rows, tmp_path):
    with pytest.raises(DataRejected, match="the training rows hold 1 label"):
        probe(base, rows[rows["label"] == "garden"], tmp_path / "model")
    with pytest.raises(ConfigError, match=r"finetune\.max_length is 128, but the base model reads at most 64 tokens"):
        probe(base, rows, tmp_path / "model", max_length=128)
    assert replace(Encoder(base, "mean"), pooling="cls").key != Encoder(base, "mean").key


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_at_length_1_are_those_of_sentence_transformers_with_its_modules_pooling_and_normalize(base, rows, tmp_path, pooling):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    modules = [Transformer(str(base)), Pooling(32, pooling), Normalize()]
    sentence_transformers.SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(tmp_path / "folder"))
    assert sentence_folder.pooling(tmp_path / "folder") == pooling
    assert sentence_folder.unheeded(tmp_path / "folder") is None
    texts = rows["text"].tolist()[:20]
    own = vectors.directions(Encoder(tmp_path / "folder", pooling).vectors(token_ids(tmp_path / "folder", texts)).astype(np.float64))
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "folder"), device="cpu").encode(texts)
    np.testing.assert_allclose(own, theirs, atol=1e-5)
