"""The files that probing gates name: tests of a user's own, and terms for the people a text speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from regraft.core.strict import Strict

SLOT = re.compile(r"\{(\w+)\}")
"""``{name}`` in a template."""
MOST_CASES = 10_000
"""Of all tests of a file: what one model answers in a minute on two cores."""
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class TemplateTest(Strict):
    """Texts with the label they must get, or pairs of texts whose answers must be the same, or must differ."""

    name: Text
    """What is tested, in a few words; a finding calls it so."""
    texts: tuple[Text, ...] = ()
    """Templates, `{slot}` for each slot of `fill`."""
    label: Text | None = None
    """The label that every text of `texts` must get: a minimum functionality test."""
    pairs: tuple[tuple[Text, Text], ...] = ()
    """Templates in pairs: a text, and what it is changed to."""
    expect: Literal["same", "different"] | None = None
    """Whether the answer to a pair must stay (an invariance test) or must change (a directional test, as negation often is)."""
    fill: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Slot -> its values. A template is asked once for every combination."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (bool(self.texts), self.label is not None, bool(self.pairs), self.expect is not None) not in (
            (True, True, False, False),
            (False, False, True, True),
        ):
            raise ValueError("a test has `texts` and the `label` they must get, or `pairs` and `expect: same` or `expect: different`")
        if alike := [before for before, after in self.pairs if before == after]:
            raise ValueError(f"a pair holds {alike[0]!r} twice; its second text has to be another")
        return self

    @model_validator(mode="after")
    def _slots_are_filled(self) -> Self:
        if empty := [slot for slot, values in self.fill.items() if not values]:
            raise ValueError(f"fill.{empty[0]} has no values")
        slots = [slot for template in self._templates for slot in SLOT.findall(template)]
        if missing := [slot for slot in slots if slot not in self.fill]:
            raise ValueError(f"the slot {{{missing[0]}}} has no values; `fill` has {', '.join(self.fill) or 'none'}")
        if idle := [slot for slot in self.fill if slot not in slots]:
            raise ValueError(f"no template has the slot {{{idle[0]}}}; take it out of `fill`")
        return self

    @property
    def _templates(self) -> tuple[str, ...]:
        return (*self.texts, *(text for pair in self.pairs for text in pair))

    @property
    def cases(self) -> int:
        """How many cases the templates make."""
        parts: Iterable[str] = (*self.texts, *(" ".join(pair) for pair in self.pairs))
        return sum(prod(len(self.fill[slot]) for slot in set(SLOT.findall(part))) for part in parts)


class TemplateFile(Strict):
    """Tests of a user's own."""

    version: Literal[1]
    """Version of this file format."""
    tests: tuple[TemplateTest, ...] = Field(min_length=1)
    """Each with a name of its own."""

    @field_validator("tests")
    @classmethod
    def _few_enough_and_told_apart(cls, tests: tuple[TemplateTest, ...]) -> tuple[TemplateTest, ...]:
        names = [test.name for test in tests]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two tests are called {twice[0]!r}")
        if (cases := sum(test.cases for test in tests)) > MOST_CASES:
            raise ValueError(f"the tests make {cases:,} cases; {MOST_CASES:,} are the most")
        return tests


class IdentityTerms(Strict):
    """Words for the people that a text speaks of, by dimension and group."""

    version: Literal[1]
    """Version of this file format."""
    terms: dict[str, dict[str, tuple[Text, ...]]] = Field(min_length=1)
    """Dimension -> group -> its words. The n-th word of a group is exchanged for the n-th of another; of a word that a group has
    twice, the first."""

    @field_validator("terms")
    @classmethod
    def _groups_match(cls, terms: dict[str, dict[str, tuple[Text, ...]]]) -> dict[str, dict[str, tuple[Text, ...]]]:
        for dimension, groups in terms.items():
            sizes = {group: len(words) for group, words in groups.items()}
            if len(sizes) < 2:
                raise ValueError(f"{dimension} has fewer than 2 groups, so nothing can be exchanged")
            if len(set(sizes.values())) > 1 or not all(sizes.values()):
                listing = ", ".join(f"{group} has {size}" for group, size in sizes.items())
                raise ValueError(f"the groups of {dimension} need equally many words, at least one: {listing}")
            group_of: dict[str, str] = {}
            for group, words in groups.items():
                for word in words:
                    if group_of.setdefault(word.lower(), group) != group:
                        raise ValueError(f"{dimension}: {word!r} stands in {group_of[word.lower()]} and in {group}")
        return terms


Invariance = Literal["typos", "case", "punctuation", "whitespace", "length"]
