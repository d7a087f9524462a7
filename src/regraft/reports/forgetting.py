"""The part of a page about what was forgotten: every stage of the way, and whether adaptation had to end early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regraft.gates.case import Case
from regraft.gates.forgetting import measured
from regraft.gates.stages import STAGE_WORDS


def section(case: Case, pretrain: Mapping[str, Any]) -> dict[str, Any] | None:
    """``measurements.json``'s forgetting with each stage in words, and why adaptation ended; None where no gate asked.

    :param pretrain: the metrics of the step ``pretrain``.
    """
    measurements: dict[str, Any] | None = measured(case).get("forgetting")
    if measurements is None:
        return None
    stages = [{**row, "said": STAGE_WORDS[row["stage"]]} for row in measurements["stages"]]
    return {**measurements, "stages": stages, "ended": _ended(pretrain)}


def _ended(pretrain: Mapping[str, Any]) -> str | None:
    """Why adaptation ended early, in a sentence; None: it did not, or had no budget."""
    if "stopped_early" not in pretrain:
        return None
    before, kept, refused = (pretrain[f"general_loss{part}"] for part in ("_before", "", "_refused"))
    return (
        f"Adaptation ended early, with the weights of step {pretrain['steps']:g}: under the head as it stood, general text cost "
        f"{before:.3f} nats before, {kept:.3f} there and {refused:.3f} at the next look, which is more than the budget allows."
    )
