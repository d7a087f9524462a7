"""What a verdict means, for somebody who has to sign it and has never heard of an interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regraft.gates import adaptation, class_change, words
from regraft.gates.comparison import MIN_CLEAN_ROWS
from regraft.gates.protocol import FLOOR
from regraft.gates.registry import GATES, takes_clean_rows
from regraft.reports.measure import Estimate

NAMES = words.Names({"adapted": "Adapted + fine-tuned", "base": "Fine-tuned only", "tfidf": "TF-IDF baseline", "champion": "Champion"})
SHORT = words.Names({"adapted": "adapted", "base": "base", "tfidf": "TF-IDF", "champion": "champion"})
MIDST = words.Names({"adapted": "adapted + fine-tuned", "base": "fine-tuned only", "tfidf": "TF-IDF baseline", "champion": "champion"})
"""NAMES in the middle of a sentence."""
NOTES = {"base": "not adapted to a corpus before"}
"""What a name does not say of a candidate."""
SLICES = {
    "text_length": "length of text",
    "text_script": "script",
    "text_oov": "unknown words",
    "text_cluster": "topic",
}
"""Discovered slices in a heading; a column of the labelled data goes by its own name."""
PARTS = {"0 %": "none", "up to 10 %": "over 0 to 10 %", "up to 25 %": "over 10 to 25 %"}
"""Bands of the share of words that no training row has; stored values say only where a band ends."""
MARKS = {"pass": "\N{CHECK MARK}", "fail": "\N{BALLOT X}", "inconclusive": "?"}
"""What an outcome is told by, besides its colour."""
METRICS = {
    name: text[0].upper() + text[1:] + (" (lower is better)" if name in words.LOWER_IS_BETTER else "")
    for name, text in words.METRICS.items()
}


def part(column: str, value: str) -> str:
    """A value of a slice as people are told it: of a topic the words that stand out in it, without its number."""
    if column == "text_cluster":
        return value.partition(": ")[2] or value
    return PARTS.get(value, value) if column == "text_oov" else value


def lost(against: str) -> str:
    """A heading over the rows that the other model has right and the candidate wrong."""
    return "Right before, wrong now" if against == "champion" else f"{NAMES[against]} right, candidate wrong"


def gained(against: str) -> str:
    """A heading over the rows that the candidate has right and the other model wrong."""
    return "Wrong before, right now" if against == "champion" else f"Candidate right, {MIDST[against]} wrong"


def floors(verdict: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(metric, score, what was needed) of every floor, to stand beside the score: a PASS is no praise."""
    for finding in verdict["findings"]:
        is_floor = finding["gate"] in GATES and GATES[finding["gate"]].requirement == FLOOR
        if is_floor and finding["value"] is not None and finding["n"] == verdict["rows"]["n"]:
            needed = f"needed: at least {words.number(finding['threshold'])}"
            yield METRICS.get(finding["metric"], finding["metric"]), words.number(finding["value"]), needed


def power(verdict: Mapping[str, Any]) -> str:
    """The smallest difference that the test rows can show, in points of a hundred; empty where nothing is known of it."""
    shown = {}
    for finding in verdict["findings"]:
        facts = finding.get("facts", {})
        if finding["against"] and facts.get("power") and facts.get("detectable") and finding["n"] == verdict["rows"]["n"]:
            points = f"{100 * facts['detectable']:.1f} points of {words.metric(finding['metric'])}"
            shown[f"{points} against {words.model(finding['against'])}"] = facts["power"]
    if not shown:
        return ""
    often = f"{100 * min(shown.values()):.0f} times in 100"
    return f"The smallest true difference that these test rows would show, {often}: {', '.join(shown)}. For less, label more test rows."


def headline(verdict: Mapping[str, Any], estimates: Sequence[Estimate], *, waived: bool = False, promoted: bool = False) -> str:
    """The verdict in one sentence; ``estimates`` tell what no gate asked.

    :param waived: the candidate was promoted on somebody's word.
    :param promoted: it was promoted, on its evidence or not.
    """
    champion = verdict["champion"]
    if champion and champion["digest"] == verdict["candidate"]["digest"] and verdict["outcome"] != "pass":
        return _of_champion(verdict, estimates)
    passed = {f["gate"] for f in verdict["findings"] if f["against"] == "champion" and f["outcome"] == "pass"}
    better = next((text for name in GATES if name in passed and (text := GATES[name].passed)), None)
    match verdict["outcome"]:
        case "pass" if champion and champion["digest"] == verdict["candidate"]["digest"]:
            return "Nothing has to change: the best candidate is the model that is in production already."
        case "pass" if champion and better:
            return f"The new model is {better} and {'has replaced' if promoted else 'may replace'} it."
        case "pass" if champion and (lead := _leads(verdict, estimates).get("champion")) and lead.high < 0:
            return "The new model meets every requirement, but it is worse than the one in production, and no requirement asked."
        case "pass" if champion:
            return f"The new model meets every requirement and {'has replaced' if promoted else 'may replace'} the one in production."
        case "pass":
            to = "went to production, where there was none" if promoted else "may go to production, where there is none yet"
            return f"The new model meets every requirement and {to}."
        case "fail" if waived:
            return f"The new model went to production on a waiver, not on its evidence: {_why_not(verdict['findings'])}."
        case "fail":
            return f"The new model must not go to production: {_why_not(verdict['findings'])}."
    if waived:
        return f"The new model went to production on a waiver, not on its evidence: {_why_open(verdict, estimates)}."
    return f"No decision: {_why_open(verdict, estimates)}.{' The one in production stays.' if champion else ''}"


def _of_champion(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> str:
    """A verdict that did not pass, where the best candidate is the model in production: nothing new is kept from it."""
    if verdict["outcome"] == "fail":
        why_not = _why_not(verdict["findings"])
        return f"The model in production is still the best candidate, but {why_not}. It stays until something better passes."
    why = _why_open(verdict, estimates).replace("the new model", "it")
    return f"The model in production is still the best candidate, but {why}. It stays."


def _why_not(findings: Sequence[Mapping[str, Any]]) -> str:
    """The failed findings in plain words."""
    reasons = []
    for finding in (f for f in findings if f["outcome"] == "fail"):
        is_gate = finding["gate"] in GATES
        reasons.append(GATES[finding["gate"]].failed(finding) if is_gate else "its training went wrong, and its answers are not usable")
    *others, last = dict.fromkeys(reasons)
    return f"{', '.join(others)} and {last}" if others else last


def _why_open(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> str:
    """What left the decision open; first what no number of rows would settle."""
    unsettled = {(f["gate"], f["against"]) for f in verdict["findings"] if f["outcome"] == "inconclusive"}
    numberless = [f for f in verdict["findings"] if f["outcome"] == "inconclusive" and f["value"] is None]
    if any(f["against"] == "champion" for f in numberless) and "champion" not in {e.model for e in estimates}:
        return "the new model could not be compared with the one in production"
    alone = [GATES[gate].unsettled for gate, _ in unsettled if gate in GATES] if len(unsettled) == 1 else []
    n, clean = verdict["rows"]["n"], [f for f in verdict["findings"] if f["n"] < verdict["rows"]["n"] and takes_clean_rows(f["gate"])]
    if any(f["value"] is None and f["n"] < MIN_CLEAN_ROWS for f in clean):
        return "too few test rows are free of overlap with training texts to tell anything"
    if any(f["value"] is None for f in clean):
        return "what was asked is not defined on the test rows that are free of overlap with training texts"
    if alone and alone[0]:
        return alone[0]
    undecided = [f for f in verdict["findings"] if f["outcome"] == "inconclusive"]
    if all(f.get("facts", {}).get("needs") == "nothing" and f["against"] for f in undecided):
        others = dict.fromkeys(words.spoken(f["against"]) for f in undecided)
        return f"the new model and {' and '.join(others)} do equally well, as far as any sensible number of rows could show"
    seeds = " and the seeds asked for" if any(f["gate"] == "seeds" for f in verdict["findings"]) else ""
    rows = f"{n:,} test rows"
    if all(f in clean for f in verdict["findings"] if f["outcome"] == "inconclusive"):
        rows = f"the {clean[0]['n']:,} test rows that are free of overlap with training texts"
    few = f"{rows}{seeds} are too few to tell whether the new model is"
    if any(against == "champion" for _, against in unsettled):
        told = [text for name in GATES if (name, "champion") in unsettled and (text := GATES[name].undecided)]
        return f"{few} {(*told, 'as good as the one in production')[0]}"
    return f"{few} good enough"


def support(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> str:
    """How often each model is right, as counts out of a hundred; empty where the candidate has no usable answers."""
    right = {e.model: e.value for e in estimates if e.against is None and e.metric == "accuracy"}
    candidate = verdict["candidate"]["name"]
    if candidate not in right:
        return ""
    same = verdict["champion"] and verdict["champion"]["digest"] == verdict["candidate"]["digest"]
    others = [m for m in ("champion", "base", "tfidf") if m in right and m != candidate and not (same and m == "champion")]
    seeds = any(f["gate"] == "seeds" and f["value"] is not None for f in verdict["findings"])
    mean = ", in the mean of its seeds" if seeds else ""
    parts = [
        f"Of every 100 test rows it gets {_hundred(right[candidate])} right{mean}",
        *(f"{words.spoken(m)} {_hundred(right[m])}" for m in others),
    ]
    return ", ".join(parts[:-1]) + f" and {parts[-1]}." if len(parts) > 2 else ", ".join(parts) + "."


def _hundred(share: float) -> str:
    return f"{100 * share:.0f}"


def _leads(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    """Other model -> the candidate's lead over it, in the metric of the first gate."""
    metric = next((f["metric"] for f in verdict["findings"] if f["metric"]), "macro_f1")
    return {e.against: e for e in estimates if e.against and e.metric == metric}


def cautions(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> Iterator[str]:
    """What somebody who only reads the headline would miss."""
    compared = {f["against"] for f in verdict["findings"] if takes_clean_rows(f["gate"])}
    baseline = _leads(verdict, estimates).get("tfidf")
    if verdict["outcome"] == "pass" and baseline and baseline.low <= 0 and "tfidf" not in compared:
        how = "loses to" if baseline.high < 0 else "is not clearly better than"
        yield f"The candidate {how} a plain word count (TF-IDF), which costs seconds to train; no gate asked."
    by_adaptation = [f for f in verdict["findings"] if f["gate"] == "adaptation" and f["low"] is not None]
    for finding in by_adaptation if verdict["candidate"]["name"] == "base" else ():
        shown = "did not pay here" if adaptation.effect(finding) == "did not pay" else "was not shown to pay here"
        yield f"Adapting the base model to the domain's text {shown}, so the candidate was trained without it."
    if change := class_changes(verdict):
        yield f"Compared with the one in production on the rows of classes that both know: {class_change.sentence(change)}."


def class_changes(verdict: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Which classes came and went since the champion, as a finding tells it; None where both know the same."""
    return next((f["facts"]["classes"] for f in verdict["findings"] if "classes" in f.get("facts", {})), None)
