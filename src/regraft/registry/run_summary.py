"""What a run says of itself in MLflow: parameters, the numbers that were judged, tags and data sets. Pure; :mod:`tracking` writes it.

Names are those that MLflow's pages group by: ``test/macro_f1`` with ``_low`` and ``_high`` for the interval, and the same of
``test/lead_over_champion`` and ``test/lead_over_tfidf``, in the metric that the gates compare by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 500
"""Characters of a parameter's value that are kept: a list of classes is no parameter to compare by."""
LEFT_OUT = frozenset({"schema", "pipeline", "digest"})
"""Keys of a section that are no choice of anybody's."""
PAGE = "report.html"


def parameters(resolved: Mapping[str, Any]) -> dict[str, str]:
    """``{"finetune-base.epochs": "8"}``: every choice of the resolved file, a section's keys behind its name.

    What is text of its own (a contract's columns, templates) is left to the evidence.
    """
    flat = {key: _shown(value) for key, value in _leaves(resolved) if key.rpartition(".")[2] not in LEFT_OUT}
    return {key: value for key, value in flat.items() if len(value) <= LONGEST}


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key in ("contract", "named") and before:
            continue
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{before}{key}.")
        else:
            yield f"{before}{key}", item


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_shown(item)}" for key, item in value.items())
    return "" if value is None else str(value)


def metrics(measurements: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, float]:
    """The candidate's scores on the test rows with their intervals, and its lead over each model that it was compared with."""
    named = {
        f"test/{metric}": interval for metric, interval in measurements.get("metrics", {}).get(measurements.get("candidate"), {}).items()
    }
    compared_by = compared_metric(verdict)
    for comparison in measurements.get("comparisons", ()):
        if comparison["metric"] == compared_by:
            named[f"test/lead_over_{comparison['against']}"] = comparison
    return {
        f"{name}{end}": float(interval[key])
        for name, interval in named.items()
        for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))
        if interval.get(key) is not None
    }


def compared_metric(verdict: Mapping[str, Any]) -> str:
    """The metric that the first gate of the verdict asked about, macro-F1 where none did."""
    return next((str(finding["metric"]) for finding in verdict["findings"] if finding["metric"]), "macro_f1")


def tags(resolved: Mapping[str, Any], verdict: Mapping[str, Any], git: Mapping[str, Any]) -> dict[str, str]:
    """Tags to search and filter runs by; ``git`` is ``{sha, dirty}`` of the workspace."""
    of_git = {"mlflow.source.git.commit": git["sha"], "regraft.git.dirty": str(git["dirty"]).lower()} if git["sha"] else {}
    base = next((section["base_model"] for section in resolved.values() if isinstance(section, Mapping) and "base_model" in section), None)
    return {
        "regraft.candidate": verdict["candidate"]["name"],
        "regraft.candidate.digest": verdict["candidate"]["digest"],
        "regraft.verdict": verdict["outcome"],
        "regraft.rows": str(verdict["rows"]["n"]),
        "regraft.compared_by": compared_metric(verdict),
        **({"regraft.base_model": str(base)} if base else {}),
        **of_git,
    }
