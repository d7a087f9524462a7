"""The baseline: learns, survives its folder, and says what it cannot learn from."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.core import files
from regraft.core.errors import DataRejected
from regraft.models.tfidf import Tfidf

TEXTS = ["a cat purrs", "the cat sleeps", "a dog barks", "the dog runs", "emu eggs", "an emu runs"] * 4
LABELS = ["cat", "cat", "dog", "dog", "emu", "emu"] * 4


def train(texts=TEXTS, labels=LABELS, classes=("cat", "dog", "emu")) -> Tfidf:
    return Tfidf.train(texts, labels, classes, max_ngram=2, inverse_regularization=10.0)


@pytest.mark.parametrize("animals", [{"cat", "dog"}, {"cat", "dog", "emu"}])
def test_what_was_saved_predicts_as_what_was_trained(animals, tmp_path):
    texts, labels = zip(*[(t, a) for t, a in zip(TEXTS, LABELS, strict=True) if a in animals], strict=True)
    model = train(texts, labels, sorted(animals))
    for folder in ("one", "two"):
        model.save(tmp_path / folder)
    asked = ["my cat", "dog dog", "no known word", ""]
    p = Tfidf.load(tmp_path / "one").predict(asked)
    assert np.array_equal(p, model.predict(asked))
    assert [model.labels[i] for i in p.argmax(axis=1)[:2]] == ["cat", "dog"]
    assert np.allclose(p.sum(axis=1), 1)
    assert files.tree(tmp_path / "one") == files.tree(tmp_path / "two")


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probabilities_are_those_of_scikit_learn(classes):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    keep = [i for i, label in enumerate(LABELS) if label in ("cat", "dog", "emu")[:classes]]
    texts, labels = [TEXTS[i] for i in keep], [LABELS[i] for i in keep]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    reference = LogisticRegression(C=10.0, max_iter=1_000).fit(vectorizer.fit_transform(texts), labels)
    asked = ["a cat runs", "the emu", "dog"]
    p = train(texts, labels, ("cat", "dog", "emu")[:classes]).predict(asked)
    assert np.allclose(p, reference.predict_proba(vectorizer.transform(asked)), atol=1e-3)


def test_a_class_without_a_training_row_is_never_predicted():
    p = train(classes=("bat", "cat", "dog", "emu")).predict(["a bat", "a cat"])
    assert p.shape == (2, 4)
    assert p[:, 0].tolist() == [0.0, 0.0]
    assert np.isfinite(p).all()


def test_a_folder_holds_no_pickle(tmp_path):
    train().save(tmp_path)
    assert sorted(files.tree(tmp_path)) == ["labels.json", "model.safetensors", "vocabulary.json"]


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["a cat", "the cat"], ["cat", "cat"], r"hold 1 label\(s\); a classifier needs at least 2"),
        (["...", "!"], ["cat", "dog"], "no training text holds a word"),
    ],
)
def test_rows_that_teach_nothing_are_rejected(texts, labels, says):
    with pytest.raises(DataRejected, match=says):
        train(texts, labels)
