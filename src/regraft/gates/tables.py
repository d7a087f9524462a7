"""Evidence that gates ask for beyond the predictions: declared by a gate, copied, hashed and read by :mod:`regraft.gates.decide`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Table(Generic[T]):
    """One file that a step leaves and a decision keeps."""

    key: str
    """What a case calls it."""
    file: str
    """Its name in the evidence of a decision."""
    step: str | None
    """The step that leaves it; None: the run measures it of the candidate alone, once it is chosen."""
    path: str
    """Where it lies below that step's ``out``."""
    load: Callable[[Any], T]
    """Reads the kept file, a path. Called on a file whose sha256 is the one that was decided on."""
    optional: bool = False
    """Whether a decision may be taken without it; the gate then says that nothing is known."""
    keep: Callable[[Any, Any], bool] | None = None
    """Copies (source path, target path) where it keeps less than all, and says whether there was anything to keep; None: it copies all."""
