"""What a decision has to know of a model as it will be served: how it was calibrated, what serving it takes.

Two files of the evidence folder, each there only when a gate or a threshold asks for it; ``decision.json`` names their
sha256 below ``served``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.gates.evidence import unchanged
from regraft.gates.options import GateOptions

CALIBRATION, COST = "calibration.json", "cost.json"
FILES = (CALIBRATION, COST)


def keep(artifacts: Path, evidence: Path, gates: Sequence[GateOptions], cost: Path | None) -> dict[str, str]:
    """Copy what is asked for into the evidence; ``{file: sha256}``."""
    contents, source = {}, artifacts / "scores" / "out" / CALIBRATION
    calibrations = files.read_json(source) if source.is_file() else {}
    if calibrations and (
        any(gate.calibration for gate in gates) or any("abstain" in (of_model or {}) for of_model in calibrations.values())
    ):
        contents[CALIBRATION] = calibrations
    if cost and any(gate.cost for gate in gates):
        contents[COST] = files.read_json(cost)
    for name, content in contents.items():
        files.write_json(evidence / name, content)
    return {name: files.sha256_file(evidence / name) for name in contents}


def read(evidence: Path, served: Mapping[str, str]) -> dict[str, Any]:
    """``{calibration, cost}`` as far as the decision kept them. EnvironmentFault where a file is not the one it kept."""
    contents = {}
    for name, sha in served.items():
        path = unchanged(evidence / name, sha)
        contents[path.stem] = files.read_json(path)
    return contents
