"""Slices that need no column: parts of the test rows found in the text itself.

- ``text_length``: bands of words, cut at the terciles of the training rows; of characters where most words are one
  (:mod:`regraft.core.words`).
- ``text_script``: the writing system of most letters, in Unicode's words. Han letters of a text with kana are Japanese.
- ``text_oov``: bands of the share of words that no training row has.
- ``text_cluster``: topics. The training rows' TF-IDF vectors without the commonest words, in 50 latent dimensions
  (Deerwester et al. 1990), k-means on the unit sphere; a cluster is named after the three words that stand out in it,
  in scripts without blanks after three pairs of characters: "玫瑰" says what "玫" and "瑰" do not.

Bounds and clusters come from training rows, and no label or prediction is looked at, so a slice cannot be drawn round
a model's mistakes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from regraft.core.words import UNSPACED, WORD
from regraft.models.tfidf import Tfidf

LETTER = re.compile(f"[{UNSPACED}]")
"""What a word of a script without blanks begins with."""
CLUSTERS = 8
ROWS_A_CLUSTER = 30
"""Fewer training rows make fewer clusters."""
DIMENSIONS = 50
COMMON = 0.1
"""Terms in a larger share of the training rows say nothing of the topic; with them, clusters are called "of, the, to"."""


def discover(texts: Sequence[str], train: Sequence[str], baseline: Tfidf) -> dict[str, list[str]]:
    """``{slice: value of each text}``; ``train`` are the texts that ``baseline`` was trained on."""
    vocabulary = frozenset(term for term in baseline.vocabulary if " " not in term)
    words = [_words(text) for text in train]
    bounds, unit = _terciles([len(of_text) for of_text in words]), _unit(words)
    return {
        "text_length": [length_band(len(_words(text)), bounds, unit) for text in texts],
        "text_script": [script(text) for text in texts],
        "text_oov": [oov_band(_words(text), vocabulary) for text in texts],
        "text_cluster": clusters(texts, train, baseline),
    }


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _terciles(lengths: Sequence[int]) -> tuple[int, ...]:
    """The last length of each band but the longest."""
    first, second = (int(bound) for bound in np.quantile(lengths, [1 / 3, 2 / 3], method="lower"))
    return tuple(sorted({bound for bound in (first, second) if bound < max(lengths)}))


def _unit(texts: Sequence[Sequence[str]]) -> str:
    """What the words of ``texts`` are called: where most of them are single letters of a script without blanks, characters."""
    letters = sum(bool(LETTER.match(word)) for words in texts for word in words)
    return "characters" if 2 * letters > sum(map(len, texts)) else "words"


def length_band(words: int, bounds: Sequence[int], unit: str = "words") -> str:
    """ "7 to 12 words": the band between two of ``bounds`` (upper ends, included)."""
    above = [bound for bound in bounds if bound < words]
    within = [bound for bound in bounds if bound >= words]
    if not bounds:
        return "any length"
    if not above:
        return f"up to {within[0]} {unit}"
    if not within:
        return f"over {above[-1]} {unit}"
    first, last = above[-1] + 1, within[0]
    return f"{first} to {last} {unit}" if first < last else f"{last} {unit}"


def script(text: str) -> str:
    """The script of most letters, the first by name of equals: the first word of their Unicode names."""
    counts = Counter(_script(letter) for letter in text if letter.isalpha())
    if counts["Japanese"]:
        counts["Japanese"] += counts.pop("Han", 0)
    return min(counts, key=lambda name: (-counts[name], name)) if +counts else "no letters"


SCRIPTS = {"Cjk": "Han", "Ideographic": "Han", "Hiragana": "Japanese", "Katakana": "Japanese"}
"""The first words of Unicode names that are not what a script is called."""


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """Letters of another width or style are those of their script."""
    name = unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "UNNAMED").partition(" ")[0].partition("-")[0].capitalize()
    return SCRIPTS.get(name, name)


def oov_band(words: Sequence[str], vocabulary: frozenset[str]) -> str:
    """How many of the words are not in ``vocabulary``."""
    if not words:
        return "no words"
    share = sum(word not in vocabulary for word in words) / len(words)
    return "0 %" if share == 0 else "up to 10 %" if share <= 0.1 else "up to 25 %" if share <= 0.25 else "over 25 %"


def clusters(texts: Sequence[str], train: Sequence[str], baseline: Tfidf) -> list[str]:
    """The cluster of each text. One thread: k-means adds up in the order in which threads finish."""
    from threadpoolctl import threadpool_limits

    count = min(CLUSTERS, len(train) // ROWS_A_CLUSTER)
    if count < 2 or len(baseline.vocabulary) <= DIMENSIONS:
        return ["all"] * len(texts)
    with threadpool_limits(1):
        return _clusters(texts, train, baseline, count)


def _clusters(texts: Sequence[str], train: Sequence[str], baseline: Tfidf, count: int) -> list[str]:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    vectors = baseline.features(train)
    rare = np.asarray((vectors > 0).mean(axis=0)).ravel() <= COMMON
    vectors = vectors.multiply(rare).tocsr()
    latent = TruncatedSVD(min(DIMENSIONS, len(train) - 1), random_state=0)
    space = normalize(latent.fit_transform(vectors))
    model = KMeans(count, n_init=4, random_state=0).fit(space)
    average = np.asarray(vectors.mean(axis=0)).ravel()
    terms = [_as_written(term) for term in baseline.vocabulary]
    if not any(terms):  # one character at a time was asked for
        terms = list(baseline.vocabulary)
    readable = np.array([term is not None for term in terms])
    names = []
    for number in range(count):
        stands_out = np.asarray(vectors[model.labels_ == number].mean(axis=0)).ravel() - average
        best = np.argsort(np.where(readable, -stands_out, np.inf), kind="stable")[:3]
        names.append(f"{number + 1}: " + ", ".join(terms[term] or "" for term in best))
    return [names[number] for number in model.predict(normalize(latent.transform(baseline.features(texts).multiply(rare).tocsr())))]


def _as_written(term: str) -> str | None:
    """A term that names a topic as its texts write it: a word, or a pair of letters without the blank; None for other terms."""
    first, blank, second = term.partition(" ")
    if not blank:
        return None if LETTER.match(term) else term
    return first + second if LETTER.match(first) and LETTER.match(second) else None
