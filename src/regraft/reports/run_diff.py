"""What differs between two runs, from the records that MLflow holds of them: the document behind ``regraft diff``.

A run is its steps' records and its verdict; both sides are flattened to ``{(section, key): value}`` a step, and what
is the same on both sides is left out. Steps that differ in the same way share a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from regraft.config.step_names import current_name
from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.quantities import counted
from regraft.registry.registration import registered
from regraft.registry.tracking import TrackedRun, Tracker
from regraft.reports.history import journal_of

VERSION = re.compile(r"(?P<pipeline>[a-z][a-z0-9_]*)(/(?P<version>[1-9][0-9]*)|@(?P<alias>[A-Za-z0-9_.-]+))")
SECTIONS = ("steps", "params", "gates", "data", "libraries", "machine", "code", "metrics", "verdict")
"""The sections in the order in which they are shown: causes first."""
MACHINE = ("device", "threads", "precision", "exact")
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LONGEST = 24
"""Characters of a value that a terminal shows; ``--json`` has all of them."""
LOOKED_AT = 100
"""The newest runs, among which the last two are looked for."""


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    said: str
    """What was typed."""
    run: str
    run_id: str
    pipeline: str
    status: str
    outcome: str | None
    version: str | None
    """The registered version that was asked for; None for a run."""
    records: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """step -> record."""
    decision: Mapping[str, Any] = field(repr=False)
    """``{gates, verdict}`` with the questions and the answers to them; empty without a verdict."""

    @property
    def title(self) -> str:
        """The run, and what is known of it, for a heading."""
        version = f"version {self.version}, " if self.version else ""
        return f"{self.run}  {version}{(self.outcome or self.status).upper()}"

    def document(self) -> dict[str, Any]:
        """The part of ``diff --json`` about this side."""
        return {key: getattr(self, key) for key in ("run", "pipeline", "version", "status", "outcome")}


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; None: not there on that side."""

    section: str
    key: str
    steps: tuple[str, ...]
    a: Any
    b: Any


def find(tracker: Tracker, typed: str) -> Side:
    """The run behind a run id, a pipeline (its latest run), ``PIPELINE/VERSION`` or ``PIPELINE@ALIAS``."""
    version = None
    name = typed
    if match := VERSION.fullmatch(typed):
        pipeline = match["pipeline"]
        entries = journal_of(tracker.workspace, pipeline).entries()
        version = match["version"] or tracker.aliases(pipeline).get(match["alias"])
        if version is None:
            raise ConfigError(f"'{pipeline}' has no version with the alias {match['alias']!r}", fix=f"regraft history {pipeline}")
        name = registered(entries, pipeline, version).run
    run = tracker.find_run(name)
    records = _records(tracker, run)
    if not records:
        raise ConfigError(f"run {run.name} ended ({run.status}) before its first step: it has no records", fix="regraft status")
    decision = _decision(tracker, run.name) if run.outcome else {}
    return Side(typed, run.name, run.run_id, run.pipeline, run.status, run.outcome, version, records, decision)


def last_two(tracker: Tracker, pipeline: str, verb: str, *, decided: bool = False) -> tuple[str, str]:
    """The two newest runs of ``pipeline``, the older one first; ``decided``: of those that have a verdict.

    :raises ConfigError: ``pipeline`` is none, or has fewer runs; with what to type for ``verb``.
    """
    what = "PIPELINE (its last two runs), or two of: a run, PIPELINE/VERSION, PIPELINE@champion"
    if pipeline not in tracker.workspace.pipelines:
        raise ConfigError(f"`regraft {verb} {pipeline}` names one side alone", fix=f"regraft {verb} {what}")
    runs = [run.name for run in tracker.runs(pipeline, LOOKED_AT) if run.outcome is not None or not decided][:2]
    if len(runs) < 2:
        verdict = " with a verdict" if decided else ""
        raise ConfigError(
            f"{pipeline} has {counted(len(runs), 'run')}{verdict}, so there are no two to {verb}", fix=f"regraft ls {pipeline}"
        )
    return runs[1], runs[0]


def _records(tracker: Tracker, run: TrackedRun) -> dict[str, dict[str, Any]]:
    """``{step: record}`` of the steps that a run reached."""
    with tracker.store() as client:
        if not client.list_artifacts(run.run_id, "records"):
            return {}
    folder = tracker.download(run, "records")
    return {current_name(path.stem): files.read_json(path) for path in sorted(folder.glob("*.json"))}


def _decision(tracker: Tracker, run: str) -> dict[str, Any]:
    folder = tracker.download_evidence(run)
    decision, verdict = files.read_json(folder / "decision.json"), files.read_json(folder / "verdict.json")
    summary = {key: verdict.get(key) for key in ("outcome", "candidate", "champion", "rows")}
    return {"gates": {"gate": decision["gates"], "seed": decision["seed"]}, "verdict": summary}


def compare(a: Side, b: Side) -> list[Difference]:
    """Everything that is not the same, by section, then key."""
    steps: dict[tuple[str, str, str], list[str]] = {}
    values: dict[tuple[str, str, str], tuple[Any, Any]] = {}

    def note(left: Mapping[tuple[str, str], Any], right: Mapping[tuple[str, str], Any], step: str | None = None) -> None:
        for section, key in left.keys() | right.keys():
            pair = (left.get((section, key)), right.get((section, key)))
            if pair[0] != pair[1]:
                group = (section, key, files.canonical(pair))
                values[group] = pair
                steps.setdefault(group, []).extend([step] if step else [])

    for step in dict.fromkeys((*a.records, *b.records)):
        note(_facts(a.records.get(step), b.records.get(step)), _facts(b.records.get(step), a.records.get(step)), step)
    note(_decided(a.decision, b.decision), _decided(b.decision, a.decision))
    differences = [
        Difference(section, key, tuple(steps[section, key, group]), *values[section, key, group]) for section, key, group in values
    ]
    return sorted(differences, key=lambda d: (SECTIONS.index(d.section), d.key, d.steps))


def _decided(decision: Mapping[str, Any], other: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """``{(section, key): value}`` of a decision; of one without a counterpart the outcome alone."""
    facts = {(section, key): value for section in decision for key, value in _flat("", decision[section])}
    return facts if other else {key: value for key, value in facts.items() if key == ("verdict", "outcome")}


def _facts(record: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[tuple[str, str], Any]:
    """``{(section, key): value}`` of one step's record: what it was made from, with what, and what came out."""
    if record is None or other is None:
        return {("steps", "step"): "reached"} if record else {}
    # What an earlier step made differs because that step does: only what comes from outside counts as data.
    data = {name: source for name, source in record["inputs"].items() if not source["path"].startswith("artifacts/")}
    sections: dict[str, Mapping[str, Any]] = {
        "params": dict(_flat("", record["params"])),
        "data": {name: source["hash"] for name, source in data.items()} | {f"{name} path": source["path"] for name, source in data.items()},
        "libraries": record["versions"],
        "machine": {name: record[name] for name in MACHINE},
        "code": {"step version": record["step_version"], "git sha": record["git"]["sha"], "uncommitted changes": record["git"]["dirty"]},
        "metrics": record["metrics"],
    }
    return {(section, key): value for section, facts in sections.items() for key, value in facts.items()}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves by dotted path; things in a list go by their name or number, a list of plain values is one value."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(item.get("name", number)): item for number, item in enumerate(value, start=1)}
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, value


def shown(difference: Difference) -> tuple[str, str, str]:
    """Both values and their change, as short as a terminal wants them."""
    a, b = difference.a, difference.b
    if isinstance(a, list) and isinstance(b, list):
        lost, new = [item for item in a if item not in b], [item for item in b if item not in a]
        if lost or new:
            return _cut(", ".join(map(_short, lost))), _cut(", ".join(map(_short, new))), ""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return _cut(_short(a)), _cut(_short(b)), _signed(b - a) if numbers else ""


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    text = value if isinstance(value, str) else files.canonical(value)
    return text[:12] if HASH.fullmatch(text) else text


def _signed(change: float) -> str:
    return f"{change:+,}" if isinstance(change, int) else f"{change:+.4g}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
