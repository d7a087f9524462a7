"""Changed texts: what each gate wants to know, as a text, what it comes from, and what its answer is held against.

- Invariance tests change a test row in a way that says nothing (Ribeiro et al. 2020, CheckList, section 2.2).
- Counterfactuals exchange all identity terms of one dimension in a test row, each for the next group's word at the same
  place of the list; k groups make k - 1 rounds (Garg et al. 2019, section 3). Words are matched whole, in any capitals,
  and keep theirs. Grammar is not looked at: "a Christian" becomes "a Atheist".
- Templates are filled with every combination of their slots' values.

What is drawn is a function of seed, row id and test, so that another row in the data changes no variant.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from regraft.evaluation.probe_options import SLOT, TemplateTest

Expect = Literal["same", "different", "label"]
Draw = Callable[[int], int]
"""n -> a number below n."""


@dataclass(frozen=True)
class Variant:
    """One text to ask a model about."""

    gate: str
    """robustness, counterfactual or templates."""
    kind: str
    """Name of the test, or dimension."""
    id: str
    """Id of the test row; of a template, the number of its case."""
    change: str
    """What was changed, for a person."""
    text: str
    expect: Expect
    label: str | None = None
    """What the answer must be, where `expect` is "label"."""
    original: str | None = None
    """The text that a pair's answer is held against; None: that of the test row, or none."""


def draw(seed: int, kind: str, row: str) -> Draw:
    """Numbers from Philox-4x64-10 with (seed, a hash of test and row) as its key; biased by less than n / 2**32."""
    word = int.from_bytes(hashlib.sha256(f"{kind}\0{row}".encode()).digest()[:8], "little")
    stream = np.random.Philox(key=np.array([seed, word], dtype=np.uint64))
    return lambda n: (int(stream.random_raw()) >> 32) * n >> 32


def typos(text: str, number: Draw) -> tuple[str, str] | None:
    """Two neighbouring letters inside a word change places, the most frequent slip that leaves all letters there.

    None where no two neighbours differ.
    """
    places = [m.start() for m in re.finditer(r"(?<=[^\W\d_])(?=([^\W\d_])([^\W\d_]))", text) if m[1] != m[2]]
    if not places:
        return None
    at = places[number(len(places))]
    changed = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    start, end = _word(text, at)
    return changed, f"{text[start:end]} to {changed[start:end]}"


def case(text: str, _: Draw) -> tuple[str, str] | None:
    """The text without capitals; one that has none, all in capitals; None where letters have no case."""
    if text.lower() != text:
        return text.lower(), "no capitals"
    return (text.upper(), "all in capitals") if text.upper() != text else None


def punctuation(text: str, _: Draw) -> tuple[str, str] | None:
    """The mark at the end goes; where there is none, a full stop comes; None of a text that is nothing but marks."""
    body = text.rstrip()
    bare = body
    while bare and unicodedata.category(bare[-1]) == "Po":
        bare = bare[:-1].rstrip()
    if not bare:
        return None
    return (bare, f"{body[len(bare) :].strip()} taken away") if bare != body else (f"{body}.", ". added")


def whitespace(text: str, number: Draw) -> tuple[str, str] | None:
    """A line break replaces one of the blanks between words; None where there is no blank."""
    places = [m.start() for m in re.finditer(r"(?<=\S) (?=\S)", text)]
    if not places:
        return None
    at = places[number(len(places))]
    start, end = _word(text, at + 1)
    return f"{text[:at]}\n{text[at + 1 :]}", f"line break before {text[start:end] or text[at + 1]}"


CHANGES: Mapping[str, Callable[[str, Draw], tuple[str, str] | None]] = {
    "typos": typos,
    "case": case,
    "punctuation": punctuation,
    "whitespace": whitespace,
}
"""Test -> (text, draw) -> the changed text and what was changed, or None where there is nothing to change. `length` needs a sentence."""


def invariances(ids: Sequence[str], texts: Sequence[str], tests: Sequence[str], sentence: str, seed: int) -> Iterator[Variant]:
    """At most one variant a row and test, by test."""

    def length(text: str, _: Draw) -> tuple[str, str]:
        return f"{text.rstrip()} {sentence}", f"{sentence} added"

    changes = {**CHANGES, "length": length}
    for test in tests:
        for row, text in zip(ids, texts, strict=True):
            changed = changes[test](text, draw(seed, test, row))
            if changed and changed[0] != text:
                yield Variant("robustness", test, row, changed[1], changed[0], "same")


def counterfactuals(ids: Sequence[str], texts: Sequence[str], terms: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[Variant]:
    """Every round of every dimension that a row holds terms of, by dimension."""
    for dimension in sorted(terms):  # by name: the order of a mapping is not part of a step's identity
        groups = [terms[dimension][group] for group in sorted(terms[dimension])]
        exchange = _Exchange(groups)
        for row, text in zip(ids, texts, strict=True):
            for shift in range(1, len(groups)):
                changed, change = exchange(text, shift)
                if changed != text:
                    yield Variant("counterfactual", dimension, row, change, changed, "same")


class _Exchange:
    """The terms of one dimension, ready to be found."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        self.groups = groups
        self.place: dict[str, tuple[int, int]] = {}
        for number, words in enumerate(groups):
            for position, word in enumerate(words):
                self.place.setdefault(word.lower(), (number, position))
        longest_first = sorted(self.place, key=lambda word: (-len(word), word))
        self.found = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def __call__(self, text: str, shift: int) -> tuple[str, str]:
        """(text with every term exchanged for that of the group ``shift`` further, "he to she, his to her")."""
        exchanged: dict[str, None] = {}

        def other(match: re.Match[str]) -> str:
            group, position = self.place[match[0].lower()]
            word = _as_written(match[0], self.groups[(group + shift) % len(self.groups)][position])
            exchanged[f"{match[0]} to {word}"] = None
            return word

        return self.found.sub(other, text), ", ".join(exchanged)


def _as_written(written: str, word: str) -> str:
    if written.isupper() and len(written) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if written[:1].isupper() else word


def cases(tests: Sequence[TemplateTest]) -> Iterator[Variant]:
    """Every case of every template, numbered within its test."""
    for test in tests:
        number = 0
        for template in test.texts:
            for (text,) in _filled((template,), test.fill):
                number += 1
                yield Variant("templates", test.name, str(number), text, text, "label", test.label)
        for pair in test.pairs:
            for before, after in _filled(pair, test.fill):
                number += 1
                yield Variant("templates", test.name, str(number), f"{before} → {after}", after, test.expect or "same", original=before)


def _filled(templates: Sequence[str], fill: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Every combination of the slots, those that come first change last."""
    slots = list(dict.fromkeys(slot for template in templates for slot in SLOT.findall(template)))
    for values in product(*(fill[slot] for slot in slots)):
        value = dict(zip(slots, values, strict=True))
        yield tuple(SLOT.sub(lambda match, value=value: value[match[1]], template) for template in templates)  # type: ignore[misc]


def _word(text: str, at: int) -> tuple[int, int]:
    """Where the word round a position begins and ends."""
    start = end = at
    while start and (text[start - 1].isalnum()):
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    return start, end
