"""Candidates that are not trained, because there are too few or too many labels for them: who they are, and which steps that spares.

How many labels there are the steps ``contract`` and ``splits`` say, so it is known once these two have run; and ``switch_point``, where the
pipeline measures one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from regraft.config.candidates import candidates_in
from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.execution.step import Output, Step

COUNTED_BY = ("contract", "splits")
"""The steps that say how many labels there are."""
SWITCH_POINT, MEASURED = "switch_point", "switch_point.json"
"""The step that measures how many it takes, and what it leaves: ``full_from`` and ``few_to``, or null."""
Withheld = tuple[dict[str, Any], ...]
"""For each candidate that is withheld: model, code, labels, limit."""


def conditional(resolved: Mapping[str, Any]) -> bool:
    """Whether a pipeline has a candidate that may be withheld, from the content of its resolved file."""
    return any(candidate.withhold for candidate in candidates_in(resolved))


def counted_by(resolved: Mapping[str, Any]) -> tuple[str, ...]:
    """The steps that have to run before it is known who is withheld."""
    return (*COUNTED_BY, *({SWITCH_POINT} & resolved.keys()))


def withheld(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> Withheld:
    """Who is withheld by what ``contract`` and ``splits`` left. ConfigError where that is every candidate."""
    if not conditional(resolved):
        return ()
    labels, measured = _fewest(workspace, pipeline), None
    if SWITCH_POINT in resolved:
        measured = files.read_json(workspace.artifacts(pipeline, SWITCH_POINT) / "out" / MEASURED)
    reasons = [candidate.withheld(labels, measured) for candidate in candidates_in(resolved)]
    if all(reasons):
        message = f"every candidate is withheld: the rarest class has {labels:,} training rows"
        raise ConfigError(message, fix=f"edit `withhold` of a candidate in pipelines/{pipeline}.yaml, or add one that is trained on so few")
    return tuple(reason for reason in reasons if reason)


def spared(steps: Sequence[Step[Any]], names: Sequence[str]) -> dict[str, str]:
    """{step: candidate} of the steps that nobody needs where the candidates called ``names`` are withheld; ``steps`` in their order.

    Those are their own instances, and what only these read, such as an adaptation that no other candidate starts from.
    """
    without: dict[str, str] = {}
    for step in reversed(steps):
        readers = [other.name for other in steps if step.name in _read_by(other)]
        if step.candidate and step.candidate.name in names:
            without[step.name] = step.candidate.name
        elif readers and all(reader in without for reader in readers):
            without[step.name] = without[readers[0]]
    return without


def _read_by(step: Step[Any]) -> set[str]:
    """The steps whose output ``step`` reads."""
    return {source.step for source in step.sources.values() if isinstance(source, Output)}


def _fewest(workspace: Workspace, pipeline: str) -> int:
    """Training rows of the class that has fewest."""
    import pyarrow.parquet as pq

    outs = {step: workspace.artifacts(pipeline, step) / "out" for step in COUNTED_BY}
    train = set(pq.read_table(outs["splits"] / "splits.parquet", filters=[("split", "=", "train")])["id"].to_pylist())
    rows = pq.read_table(outs["contract"] / "rows.parquet", columns=["id", "label"]).to_pydict()
    counts = Counter(label for row, label in zip(rows["id"], rows["label"], strict=True) if row in train)
    return min(counts[label] for label in files.read_json(outs["contract"] / "labels.json"))
