"""What a verdict means, for somebody who has to sign it and has never heard of an interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regraft.report.measure import Estimate

NAMES = {"adapted": "Adapted model", "base": "Un-adapted base", "tfidf": "TF-IDF baseline", "champion": "Champion"}
SHORT = {"adapted": "adapted", "base": "base", "tfidf": "TF-IDF", "champion": "champion"}
MIDST = {"adapted": "adapted model", "base": "un-adapted base", "tfidf": "TF-IDF baseline", "champion": "champion"}
"""As NAMES, in the middle of a sentence."""
METRICS = {"macro_f1": "Macro-F1", "accuracy": "Accuracy"}
SPOKEN = {"champion": "the one in production", "base": "the same model without adaptation", "tfidf": "a plain word count (TF-IDF)"}


def headline(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> str:
    """The verdict in one sentence; ``estimates`` tell what no gate asked."""
    champion, findings = verdict["champion"], verdict["findings"]
    asked = {finding["outcome"] for finding in findings if finding["against"] == "champion" and finding["value"] is not None}
    match verdict["outcome"]:
        case "pass" if champion and champion["digest"] == verdict["candidate"]["digest"]:
            return "Nothing has to change: the best candidate is the model that is in production already."
        case "pass" if champion and "pass" in asked:
            return "The new model is better than the one in production and may replace it."
        case "pass" if champion and (lead := _leads(verdict, estimates).get("champion")) and lead.high < 0:
            return "The new model meets every requirement, but it is worse than the one in production, and no requirement asked."
        case "pass" if champion:
            return "The new model meets every requirement and may replace the one in production."
        case "pass":
            return "The new model meets every requirement and may go to production, where there is none yet."
        case "fail":
            return f"The new model must not go to production: {_why_not(findings)}."
    stays = " The one in production stays." if champion else ""
    if any(f["outcome"] == "inconclusive" and f["value"] is None for f in findings):
        return f"No decision: the new model could not be compared with the one in production.{stays}"
    better = "better than the one in production" if "inconclusive" in asked else "good enough"
    return f"No decision: {verdict['rows']['n']:,} test rows are too few to tell whether the new model is {better}.{stays}"


def _why_not(findings: Sequence[Mapping[str, Any]]) -> str:
    failed = [finding for finding in findings if finding["outcome"] == "fail"]
    if any(finding["gate"] == "finite" for finding in failed):
        return "its training went wrong, and its answers are not usable"
    beaten = [SPOKEN[finding["against"]] for finding in failed if finding["gate"] == "beats" and finding["against"] in SPOKEN]
    if beaten:
        return f"it is worse than {' and '.join(dict.fromkeys(beaten))}"
    return "it misses a requirement"


def support(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> str:
    """How often each model is right, as counts out of a hundred; empty where the candidate has no usable answers."""
    right = {e.model: e.value for e in estimates if e.against is None and e.metric == "accuracy"}
    candidate = verdict["candidate"]["name"]
    if candidate not in right:
        return ""
    same = verdict["champion"] and verdict["champion"]["digest"] == verdict["candidate"]["digest"]
    others = [m for m in ("champion", "base", "tfidf") if m in right and m != candidate and not (same and m == "champion")]
    said = [f"Of every 100 test rows it gets {_hundred(right[candidate])} right", *(f"{SPOKEN[m]} {_hundred(right[m])}" for m in others)]
    return ", ".join(said[:-1]) + f" and {said[-1]}." if len(said) > 2 else ", ".join(said) + "."


def _hundred(share: float) -> str:
    return f"{100 * share:.0f}"


def _leads(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    """Other model -> the candidate's lead over it, in the metric of the first gate."""
    metric = next((f["metric"] for f in verdict["findings"] if f["metric"]), "macro_f1")
    return {e.against: e for e in estimates if e.against and e.metric == metric}


def cautions(verdict: Mapping[str, Any], estimates: Sequence[Estimate]) -> Iterator[str]:
    """What somebody who only reads the headline would miss."""
    asked = {(f["gate"], f["against"]) for f in verdict["findings"]}
    baseline = _leads(verdict, estimates).get("tfidf")
    if verdict["outcome"] == "pass" and baseline and baseline.low <= 0 and ("beats", "tfidf") not in asked:
        how = "loses to" if baseline.high < 0 else "is not clearly better than"
        yield f"The candidate {how} a plain word count (TF-IDF), which costs seconds to train; no gate asked."
    if verdict["candidate"]["name"] == "base":
        yield "Adapting the base model to the domain's text did not pay here, so the candidate was trained without it."
