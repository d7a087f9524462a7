"""A candidate is a value: what it is called, what it starts from, and how its fine-tuning differs from the pipeline's.

Every step that trains a candidate, or reads its model, runs once for each: ``<step>-<candidate>`` is the name of that
instance, of its stage, its folder and its section of the resolved file. A name has no ``-``, so the two parts stay apart;
a dot would be a path to DVC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from regraft.core.plugin_options import retold
from regraft.core.strict import Strict
from regraft.training.options import MethodOptions, finetune_options
from regraft.training.plugins import METHODS, Start

NAME = re.compile(r"[a-z][a-z0-9_]*")
TAKEN = ("champion", "rows", "tfidf")
"""What decisions call other things."""


@dataclass(frozen=True)
class Candidate:
    """One model that a run trains and may release."""

    name: str
    start: Start | None
    """``base``: the base model as it came; ``adapted``: what ``pretrain`` made of it; None: its method reads no encoder."""
    finetune: Mapping[str, Any] = field(default_factory=dict)
    """What its part of the pipeline file says of fine-tuning besides the pipeline's own ``finetune``."""
    withhold: Mapping[str, int] = field(default_factory=dict)
    """``below_labels`` and ``above_labels``: for how many labels it is not trained, and ``measured``, whether what was measured takes the
    place of these counts; empty: it always is."""

    @property
    def teacher(self) -> str | None:
        """The candidate that labels documents of the corpus for it; None: none does."""
        return self.finetune.get("teacher")

    @property
    def made_of(self) -> tuple[str, ...]:
        """The candidates whose models its own is made of."""
        return (*self.finetune.get("of", ()), *([self.teacher] if self.teacher else []))

    def withheld(self, labels: int, measured: Mapping[str, int | None] | None = None) -> dict[str, Any] | None:
        """Why it is not trained where the rarest class has ``labels`` training rows; None: it is.

        :param measured: ``full_from`` and ``few_to`` of the switch point, in the place of the file's counts where it asks for that; either
            may be None, which withholds nobody. None: none was measured.
        """
        counts: Mapping[str, int | None] = self.withhold
        if by_measure := measured is not None and bool(self.withhold.get("measured")):
            of_file = {"below_labels": "full_from", "above_labels": "few_to"}
            counts = {key: measured[end] for key, end in of_file.items() if key in self.withhold}
        below, above = counts.get("below_labels"), counts.get("above_labels")
        told = {"labels": labels, **({"measured": True} if by_measure else {})}
        if below is not None and labels < below:
            return {"model": self.name, "code": "below_labels", **told, "limit": below}
        return {"model": self.name, "code": "above_labels", **told, "limit": above} if above is not None and labels > above else None

    def instance(self, step: str) -> str:
        """What this candidate's run of ``step`` is called."""
        return f"{step}-{self.name}"

    def document(self) -> dict[str, Any]:
        """What the resolved file says of it."""
        optional = {"finetune": dict(self.finetune), "withhold": dict(self.withhold)}
        return {"start": self.start, **{key: value for key, value in optional.items() if value}}


DEFAULT = (Candidate("base", "base"), Candidate("adapted", "adapted"))
"""Those of a pipeline file without ``candidates``."""


def candidates_in(resolved: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """The candidates of a resolved file, in its order; those of one that regraft 0.2 wrote are the default."""
    return tuple(Candidate(name, **said) for name, said in resolved["candidates"].items()) if "candidates" in resolved else DEFAULT


class Withhold(Strict):
    """For how many labels a candidate is not trained. What counts are the training rows of the class that has fewest."""

    below_labels: int | None = Field(None, ge=1)
    """It is trained where the rarest class has so many training rows or more."""
    above_labels: int | None = Field(None, ge=1)
    """It is trained where the rarest class has so many training rows or fewer: a method for few labels is left out where many are."""

    measured: bool = Field(False, exclude_if=lambda measured: not measured)
    """Whether the end of the interval that `switch_point` measures takes the place of these counts: its lower end that of `below_labels`,
    its upper end that of `above_labels`. They hold where the rows are too few to measure one."""

    @model_validator(mode="after")
    def _some_numbers_are_between(self) -> Self:
        below, above = self.below_labels, self.above_labels
        if below is None and above is None:
            raise ValueError("write `below_labels: N`, `above_labels: N` or both")
        if below is not None and above is not None and below > above:
            raise ValueError(f"below_labels ({below}) is above above_labels ({above}), so it would never be trained")
        return self


class CandidateOptions(Strict):
    """One model that is trained, and how it differs from what the file says of all."""

    start: Start | None = None
    """The encoder that it starts from: `base`, as it came, which is the default, or `adapted` to the corpus."""
    finetune: dict[str, Any] = Field(default={})
    """What differs from the pipeline's own `finetune`; of that, keys that this candidate's method does not read are left out."""
    withhold: Withhold | None = None
    """For how many labels it is not trained, and is no candidate; by default it always is one."""

    def named(self, name: str, shared: MethodOptions) -> Candidate:
        """The candidate called ``name``, whose method has been checked."""
        starts = METHODS[self.overlaid(shared).method].starts
        withhold = self.withhold.model_dump(exclude_none=True) if self.withhold else {}
        return Candidate(name, self.start or next(iter(starts), None), self.finetune, withhold)

    def overlaid(self, shared: MethodOptions) -> MethodOptions:
        """All that holds for its fine-tuning. ValidationError with keys of ``finetune`` as places."""
        return finetune_options(shared.model_dump(exclude_unset=True), self.finetune) if self.finetune else shared


def checked(
    candidates: dict[str, CandidateOptions], shared: MethodOptions, unadapted: str | None, *, corpus: bool
) -> dict[str, CandidateOptions]:
    """``candidates``, or a ValidationError with every fault of their names, starts and options at its place.

    :param unadapted: why none of them can start from an adapted encoder; None: they can.
    :param corpus: whether the pipeline has one.
    """
    faults = [fault for name, options in candidates.items() for fault in _faults(name, options, shared, unadapted)]
    faults = faults or [fault for name in candidates for fault in _faults_of_parts(name, candidates, shared, corpus)]
    if not candidates:
        faults = [_fault((), "write at least one, such as `base: {start: base}`, or leave the key out", {})]
    if faults:
        raise ValidationError.from_exception_data("candidates", faults)
    return candidates


def _faults(name: str, options: CandidateOptions, shared: MethodOptions, unadapted: str | None) -> list[InitErrorDetails]:
    if not NAME.fullmatch(name):
        return [_fault((name,), "a candidate is called by lower-case letters, digits and _, starting with a letter", name)]
    if name in TAKEN:
        return [_fault((name,), f"a candidate cannot be called {name!r}, which verdicts call something else", name)]
    try:
        method = options.overlaid(shared).method
    except ValidationError as error:
        return [retold(item, (name, "finetune", *item["loc"])) for item in error.errors(include_url=False)]
    starts = METHODS[method].starts
    if options.start == "adapted" and unadapted is not None:
        return [_fault((name, "start"), f"`adapted` needs an adaptation, and {unadapted}", "adapted")]
    if options.start is None or options.start in starts:
        return []
    known = f"it starts from {' or '.join(starts)}" if starts else "it reads no encoder, so leave the key out"
    return [_fault((name, "start"), f"the method `{method}` does not start there: {known}", options.start)]


def _faults_of_parts(name: str, candidates: Mapping[str, CandidateOptions], shared: MethodOptions, corpus: bool) -> list[InitErrorDetails]:
    """What speaks against the candidates that the one called ``name`` is made of."""
    own, above = candidates[name], list(candidates)[: list(candidates).index(name)]
    candidate = own.named(name, shared)
    key = "teacher" if candidate.teacher else "of"
    place = (name, "finetune", key)
    if candidate.teacher and not corpus:
        return [_fault(place, "it labels documents of `data.corpus`, which is left out; name one there", candidate.teacher)]
    for part in candidate.made_of:
        if part not in above:
            known = ", ".join(above) or "none"
            return [
                _fault(
                    place, f"no candidate {part!r} stands above it in `candidates`; there {'is' if len(above) < 2 else 'are'} {known}", part
                )
            ]
        if candidates[part].withhold:
            return [
                _fault(place, f"{part} may be withheld (`withhold`), and {name} cannot be made without it; take one of the two out", part)
            ]
    others = [candidates[part].named(part, shared) for part in candidate.made_of]
    method = own.overlaid(shared).method
    if method == "soup" and len({other.start for other in others}) > 1:
        starts = " and ".join(f"{other.name} from {other.start}" for other in others)
        return [
            _fault(
                place,
                f"weights have a mean only where training began with the same: {starts}; write `method: ensemble`",
                list(candidate.made_of),
            )
        ]
    unlike = [other.name for other in others if METHODS[candidates[other.name].overlaid(shared).method].kind != METHODS[method].kind]
    if method == "soup" and unlike:
        return [
            _fault(place, f"{unlike[0]} is no fine-tuned classifier, whose weights could be averaged; write `method: ensemble`", unlike[0])
        ]
    return []


def _fault(place: tuple[str, ...], sentence: str, value: Any) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("candidate", "{sentence}", {"sentence": sentence}), loc=place, input=value)
