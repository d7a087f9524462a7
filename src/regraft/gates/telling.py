"""Every finding in words: its gate's own, and those that any gate may come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from regraft.gates import adaptation, choice, class_change, decontaminated, words
from regraft.gates.registry import GATES
from regraft.gates.verdict import Finding


def sentence(finding: Mapping[str, Any] | Finding) -> str:
    """A finding in words, as verdict.json has it or will have it; those of schema 1 hold their own."""
    document = finding.document() if isinstance(finding, Finding) else finding
    if "sentence" in document:
        return str(document["sentence"])
    text = decontaminated.sentence(document, _of_all_rows) or _of_all_rows(document)
    if "classes" not in document["facts"]:
        return text
    return f"{text.removesuffix('.')}; {class_change.sentence(document['facts']['classes'])}."


@dataclass(frozen=True)
class Row:
    """A finding in five cells; empty ones where there is no number."""

    requirement: str
    needed: str
    measured: str
    range: str
    result: str


def row(f: words.Document) -> Row:
    """A finding as a row of a table."""
    requirement = _requirement(f)
    result = str(f["outcome"])
    if f["value"] is None:
        return Row(requirement, "", "", "", result)
    is_gate = f["gate"] in GATES
    show = GATES[f["gate"]].show if is_gate else words.number
    parts = [part for part in f.get("facts", {}).get("parts", ()) if part["metric"] == f["metric"]]
    limit = "at least" if any(part["floor"] for part in parts) else GATES[f["gate"]].limit if is_gate else "above"
    spread = show(f["value"]) if f["low"] == f["high"] else f"{show(f['low'])} to {show(f['high'])}"
    return Row(requirement, f"{limit} {show(f['threshold'])}", show(f["value"]), spread, result)


ASKED = {"adaptation": "whether adapting pays, against", "choice": "chosen on dev rows, against"}
"""What findings that are no gate's ask, in a table."""


def _requirement(f: words.Document) -> str:
    """What was asked, short: "macro-F1: better than TF-IDF", "macro-F1: floor", "negative flips against the champion"."""
    gate, metric = str(f["gate"]), words.metric(f["metric"] or "")
    if asked := ASKED.get(gate) or (GATES[gate].requirement if gate in GATES else ""):
        whole = f"{asked} {words.model(f['against'])}" if f["against"] else asked.removesuffix(", against")
        return ": ".join(filter(None, (metric, whole)))
    requirement = ": ".join(filter(None, (gate.replace("_", " "), metric)))
    return f"{requirement} against {words.model(f['against'])}" if f["against"] else requirement


def sentences(findings: Iterable[Mapping[str, Any] | Finding]) -> list[str]:
    """:func:`sentence` of each."""
    return [sentence(finding) for finding in findings]


def _of_all_rows(f: words.Document) -> str:
    if f["gate"] in OWN:
        return OWN[f["gate"]](f)
    match f["code"]:
        case "no_champion":
            return "no champion yet: nothing to compare with."
        case "incomparable":
            return f"champion version {f['facts']['version']} cannot be compared with: {champion_problem(f['facts']['problem'])}."
        case "undefined":
            return f"{words.undefined(f)}."
    return GATES[f["gate"]].sentence(f)


def _identity(f: words.Document) -> str:
    facts = f["facts"]
    if f["code"] == "itself":
        return f"{words.model(facts['model'])} is what `{facts['asked']}` compares with: nothing to compare."
    return f"{facts['model']} is already champion (version {facts['version']}), byte for byte: there is nothing to register."


def _finite(f: words.Document) -> str:
    under = f" under seed {f['facts']['seed']}" if f["facts"]["seed"] else ""
    rows = words.not_finite(f["facts"])
    reason = f"{words.model(f['against'])} gives probabilities that are not finite{under} for {rows}"
    return f"{reason}; its training went wrong, and nothing was compared."


def champion_problem(problem: words.Document) -> str:
    """Why a champion cannot be compared with, to stand after a colon."""
    match problem["code"]:
        case "not_scored":
            return "it was not scored on these rows"
        case "other_model":
            return f"the predictions at hand are those of another model ({problem['digest'][:12]})"
        case "labels":
            changes = (("it knows", problem["lost"]), ("it does not know", problem["new"]))
            listed = [f"{word} {', '.join(names)}" for word, names in changes if names]
            return f"the label set changed ({'; '.join(listed)})"
        case "few_shared":
            rows = f"only {words.counted(problem['rows'], 'test row')} {'has' if problem['rows'] == 1 else 'have'} a class that it knows"
            return f"{rows}, and fewer than {problem['least']} decide nothing; new are {words.some(problem['new'])}"
        case "not_finite":
            return f"its probabilities are not finite for {words.not_finite(problem)}"
    return str(problem["message"])


OWN = {"finite": _finite, "identity": _identity, "adaptation": adaptation.sentence, "choice": choice.sentence}
"""Findings that no gate makes."""
