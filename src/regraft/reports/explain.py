"""What was compared, on what, what was decided, and what would change the decision: read from stored evidence alone.

Before a word is said the verdict is rebuilt from the predictions; an explanation is given only of a verdict whose bytes
come out the same. No model is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats.flips import Flips
from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Paired, align
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.decide import Evaluation, reevaluate
from regraft.gates.measurements import power_summary
from regraft.gates.registry import GATES, takes_clean_rows
from regraft.gates.telling import row, sentence, sentences
from regraft.gates.verdict import Finding, Verdict
from regraft.reports.words import SLICES
from regraft.reports.words import part as part_of

SCHEMA = 2
LABEL = re.compile(r"(?:pass|fail|inconclusive|info) +")
"""The outcome before the sentence of a finding, in a line of :func:`lines`."""


@dataclass(frozen=True)
class LostRows(Flips):
    """The candidate beside another model, with what it lost."""

    lost_rows: tuple[str, ...]
    """Ids of up to ten lost rows, smallest first."""


@dataclass(frozen=True)
class Explanation:
    """One decision for people; the document of ``explain --json``."""

    schema: int
    pipeline: str
    outcome: str
    verdict: dict[str, Any]
    """The content of verdict.json, rebuilt byte for byte."""
    sentences: tuple[str, ...]
    """Its findings in words, in their order."""
    scores: dict[str, dict[str, float]]
    """model -> metric -> value on all test rows."""
    flips: tuple[LostRows, ...]
    changes: tuple[str, ...]
    """What would change the decision, a sentence for each question that counts."""
    seed: int
    resamples: int
    measurements: dict[str, Any] | None
    """The content of measurements.json, rebuilt byte for byte; None for a decision that left none."""


def explanation(evidence: Path) -> Explanation:
    """The explanation of the decision in ``evidence``. EnvironmentFault when its verdict cannot be rebuilt byte for byte."""
    evaluation = reevaluate(evidence)
    case, verdict = evaluation.case, evaluation.verdict
    texts = _verified(evaluation, evidence)
    usable = {model: p for model, p in case.predictions.items() if not p.unusable and (model != "champion" or case.champion_answers_all)}
    paired = align(usable) if usable else None
    return Explanation(
        schema=SCHEMA,
        pipeline=case.pipeline,
        outcome=verdict.outcome,
        verdict=(document := json.loads(texts["verdict.json"])),
        sentences=tuple(sentences(document["findings"])),
        scores={model: {m: rounded(v) for m, v in scores(paired, model).items()} for model in paired.preds} if paired else {},
        flips=tuple(_flips(evaluation.comparison, paired, verdict.candidate.name)) if paired else (),
        changes=tuple(_changes(verdict)),
        seed=case.policy.seed,
        resamples=case.policy.resamples,
        measurements=json.loads(texts["measurements.json"]) if evaluation.measured else None,
    )


def _verified(evaluation: Evaluation, evidence: Path) -> dict[str, str]:
    """``{file: text}`` of all that follows from the evidence, or an error that says where a stored file differs."""
    texts = evaluation.texts()
    for name, rebuilt in texts.items():
        path = evidence / name
        if not path.is_file():
            raise EnvironmentFault(f"{path} is not there: the decision was not finished", fix=f"regraft run {evaluation.case.pipeline}")
        stored = path.read_bytes()
        if stored != rebuilt.encode():
            where = _difference(stored.decode(errors="replace"), rebuilt)
            raise EnvironmentFault(f"{path} is not what its predictions say: {where}; one of the files was changed after the decision")
    return texts


def lines(explanation: Explanation) -> Iterator[str]:
    """The explanation as plain text, a paragraph a line."""
    yield from head(explanation)
    yield ""
    yield from body(explanation)


def head(explanation: Explanation) -> Iterator[str]:
    """What was decided, about what."""
    verdict = explanation.verdict
    candidate, champion, rows = verdict["candidate"], verdict["champion"], verdict["rows"]
    yield f"{explanation.outcome.upper()}: {candidate['name']} ({candidate['digest'][:12]}) for pipeline {explanation.pipeline}"
    against = f"champion version {champion['version']} ({champion['digest'][:12]})" if champion else "no champion"
    on = f"{rows['n']:,} test rows ({rows['digest'][:12]})"
    yield f"Compared with {against}, on {on}, {explanation.resamples:,} paired resamples, seed {explanation.seed}."


def rows(explanation: Explanation) -> list[tuple[str, ...]]:
    """(requirement, needed, measured, range, result) of every finding that has a number."""
    return [astuple(row(finding)) for finding in explanation.verdict["findings"] if finding["value"] is not None]


def body(explanation: Explanation) -> Iterator[str]:
    """The findings in sentences, row by row, what was measured beside, and what would change the decision."""
    verdict, rows = explanation.verdict, explanation.verdict["rows"]
    for finding, told in zip(verdict["findings"], explanation.sentences, strict=True):
        yield f"{finding['outcome']:<13}{told}"
    clean = (explanation.measurements or {}).get("overlap", {}).get("clean", rows["n"])
    if clean < rows["n"]:
        yield ""
        yield f"Row by row, metrics, slices and power are those of all {rows['n']:,} test rows, of which {clean:,} {_are(clean)} clean."
    if explanation.flips:
        yield ""
        yield "Row by row:"
    for flips in explanation.flips:
        turned = f"{words.counted(flips.gained, 'row')} newly right, {flips.lost:,} newly wrong"
        same = f"{flips.both_right:,} right in both, {flips.both_wrong:,} wrong in both"
        compared = flips.gained + flips.lost + flips.both_right + flips.both_wrong
        part = "" if compared == rows["n"] else f" on the {words.counted(compared, 'row')} of classes that both know"
        yield f"  compared with {words.MODELS[flips.against]}{part}: {turned}, {same} (exact McNemar p = {flips.p:.2g})"
    if explanation.measurements:
        yield from _measured(explanation.measurements)
    if explanation.changes:
        yield ""
        yield "What would change the decision:"
    for change in explanation.changes:
        yield f"  {change}"
    yield ""
    yield "The verdict was rebuilt from the stored predictions, byte for byte."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _measured(measurements: dict[str, Any]) -> Iterator[str]:
    """Metrics with their intervals, slices, and what the rows can show."""
    number = words.number
    if metrics := measurements["metrics"].get(measurements["candidate"]):
        yield ""
        yield f"Measured of {words.MODELS[measurements['candidate']]} ({measurements['confidence'] * 100:g} % intervals):"
        for name, value in metrics.items():
            shown = "not defined on these rows"
            if value:
                shown = f"{number(value['value'])} ({number(value['low'])} to {number(value['high'])})"
            yield f"  {words.METRICS[name]:<18} {shown}"
    if slices := measurements["slices"]:
        yield ""
        yield f"By slice, accuracy and how it differs from {words.MODELS[slices[0]['against']]}, each slice for itself:"
    for part in slices:
        gap, accuracy = part["difference"], part["accuracy"]
        shown = f"{number(accuracy['value'])} ({number(accuracy['low'])} to {number(accuracy['high'])})"
        shown += f", {gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
        column, value = part["column"], part["value"]
        name = f"{SLICES[column]}: {part_of(column, value)}" if column in SLICES else f"{column} = {value}"
        yield f"  {name} ({part['rows']:,} rows): {shown}"
    if summary := power_summary(measurements):
        yield ""
        yield f"True differences that these rows show with {measurements['power'] * 100:g} % power:"
        yield from (f"  {line}" for line in words.power_lines(summary))


def _difference(stored: str, rebuilt: str) -> str:
    """The first line in which two texts differ."""
    for number, (old, new) in enumerate(zip(stored.splitlines(), rebuilt.splitlines(), strict=False), start=1):
        if old != new:
            return f"line {number} says {old.strip()}, rebuilt it is {new.strip()}"
    return f"it has {len(stored.splitlines())} lines, rebuilt {len(rebuilt.splitlines())}"


def _flips(comparison: Comparison | None, paired: Paired, candidate: str) -> Iterator[LostRows]:
    if candidate not in paired.preds:
        return
    for against in ("champion", "base", "tfidf"):
        there = comparison.against(against).paired if comparison else paired  # of a champion that lacks a class, other rows
        if against != candidate and against in there.preds:
            lost_rows = sorted(there.ids_of(there.lost(candidate, against)))
            yield LostRows(**asdict(Flips.of(there, candidate, against)), lost_rows=tuple(lost_rows[:10]))


def _changes(verdict: Verdict) -> Iterator[str]:
    unanswered = set()
    for finding in verdict.findings:
        if finding.value is not None:
            if change := _change(finding.document(), verdict.rows.n):
                yield change
        elif finding.outcome == "inconclusive":
            unanswered.add(f"{_remedy(finding, verdict.rows.n)}: {sentence(finding)}")
    yield from sorted(unanswered)
    if verdict.already_champion:
        yield "a new candidate: other data, base model or training options."


def _remedy(finding: Finding, rows: int) -> str:
    """What an open question without a number asks for; there are ``rows`` test rows."""
    if finding.code == "incomparable":
        return "a champion that can be scored"
    if takes_clean_rows(finding.gate) and finding.n < rows:
        return "more test rows without overlap"
    return GATES[finding.gate].remedy


def _change(finding: dict[str, Any], rows: int) -> str:
    """What it would take for one measured finding to come out otherwise; empty where it decides nothing."""
    name = finding["gate"]
    if name == "choice":  # on other rows
        return ""
    if name in GATES and (change := GATES[name].change):
        return change(finding)
    number, threshold, low, high = words.number, finding["threshold"], finding["low"], finding["high"]
    against = f"against {words.model(finding['against'])}" if finding["against"] else f"against the floor of {number(threshold)}"
    part = " on the clean rows" if takes_clean_rows(name) and finding["n"] < rows else ""
    part = " on the rows of classes that both know" if finding["facts"].get("classes", {}).get("left_out") else part
    part = " on the slice that decides" if "slice" in finding["facts"] else part
    what = f"{words.metric(finding['metric'] or 'macro_f1')} {against}{part}"
    rise, up, down = ("improve", "better", "worse") if finding["metric"] in words.LOWER_IS_BETTER else ("rise", "higher", "lower")
    match finding["outcome"]:
        case "pass":
            return f"{what}: passes with {number(low - threshold)} to spare; a score {down} by more than that would leave it open."
        case "fail":
            return f"{what}: the score would have to {rise} by more than {number(threshold - low)} for the interval to clear it."
        case "inconclusive":
            return f"{what}: with an interval {number(high - low)} wide, a score {up} by more than {number(threshold - low)} would pass."
        case _:
            chosen = "chosen because" if low > threshold else "not chosen because not"
            value = number(finding["value"])
            return f"{what}: adapted is {chosen} all of its interval lies above 0; it measured {value}, low end {number(low)}."
