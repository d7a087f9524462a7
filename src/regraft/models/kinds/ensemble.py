"""Several models that answer together: what ``ensemble`` leaves.

Self-contained: json and numpy, nothing of regraft; the files of its members' kinds lie beside this one, here and in production.
The folder holds ``members/<n>/``, each a whole model folder. An answer is the mean of the members' probabilities, each at its own
temperature (Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", section 2.4).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REQUIREMENTS = ("torch", "transformers", "safetensors")
PAIRS = True
"""A pair comes as a tuple; a member that reads one text gets both with :data:`MARK` between."""
MARK = "\u241e"
MEMBERS = "members"
LEAST = 1e-12
"""Least probability whose logarithm is taken."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Member:
    """One model, as it would serve alone."""

    model: Any
    pairs: bool
    """Whether its kind reads a pair as a tuple."""
    temperature: float

    def probabilities(self, rows: Sequence[str | tuple[str, str]], batch_size: int) -> Floats:
        """``[rows, labels]``."""
        read = list(rows) if self.pairs else [row if isinstance(row, str) else f" {MARK} ".join(row) for row in rows]
        p: Floats = self.model.probabilities(self.model.logits(read, batch_size) / np.float32(self.temperature))
        return p


@dataclass(frozen=True)
class Ensemble:
    """Members that know the same labels in the same order."""

    members: tuple[Member, ...]

    def logits(self, rows: Sequence[str | tuple[str, str]], batch_size: int) -> Floats:
        """``[rows, labels]``: the logarithm of the mean probability."""
        mean = np.mean([member.probabilities(rows, batch_size) for member in self.members], axis=0)
        return np.asarray(np.log(np.maximum(mean, LEAST)), dtype=np.float32)

    def probabilities(self, logits: Floats) -> Floats:
        """Softmax."""
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float32)


def load(folder: Path, device: str | None) -> Ensemble:
    """The members in ``folder``."""
    return Ensemble(tuple(_member(path, device) for path in sorted((folder / MEMBERS).iterdir())))


def _member(folder: Path, device: str | None) -> Member:
    kind = _kind(json.loads((folder / "serving.json").read_text(encoding="utf8")).get("kind", "sequence_classification"))
    path = folder / "calibration.json"
    temperature = json.loads(path.read_text(encoding="utf8")).get("temperature", 1.0) if path.is_file() else 1.0
    return Member(kind.load(folder, device), getattr(kind, "PAIRS", False), temperature)


def _kind(name: str) -> Any:
    """The module of a kind, whose file lies beside this one."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"regraft_member_{name}_{abs(hash(str(path))):x}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"{path} is not there, which a member of this ensemble is answered by")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it is being executed
    spec.loader.exec_module(module)
    return module
