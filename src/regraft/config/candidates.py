"""A candidate is a value: what it is called, what it starts from, and how its fine-tuning differs from the pipeline's.

Every step that trains a candidate, or reads its model, runs once for each: ``<step>-<candidate>`` is the name of that
instance, of its stage, its folder and its section of the resolved file. A name has no ``-``, so the two parts stay apart;
a dot would be a path to DVC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Start = Literal["base", "adapted"]


@dataclass(frozen=True)
class Candidate:
    """One model that a run trains and may release."""

    name: str
    start: Start
    """``base``: the base model as it came; ``adapted``: what ``pretrain`` made of it."""
    finetune: Mapping[str, Any] = field(default_factory=dict)
    """What its part of the pipeline file says of fine-tuning besides the pipeline's own ``finetune``."""

    def instance(self, step: str) -> str:
        """What this candidate's run of ``step`` is called."""
        return f"{step}-{self.name}"

    def document(self) -> dict[str, Any]:
        """What the resolved file says of it."""
        return {"start": self.start, **({"finetune": dict(self.finetune)} if self.finetune else {})}


DEFAULT = (Candidate("base", "base"), Candidate("adapted", "adapted"))
"""Those of a pipeline file without ``candidates``."""


def candidates_in(resolved: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """The candidates of a resolved file, in its order; those of one that regraft 0.2 wrote are the default."""
    return tuple(Candidate(name, **said) for name, said in resolved["candidates"].items()) if "candidates" in resolved else DEFAULT
