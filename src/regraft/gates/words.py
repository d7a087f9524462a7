"""How numbers and findings are put into words, for the person who answers for production and has never heard of a bootstrap.

A finding comes as verdict.json has it: a mapping. Every gate makes its own sentence of these parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from regraft.core.quantities import NAMED as NAMED
from regraft.core.quantities import counted as counted
from regraft.core.quantities import first_of
from regraft.evaluation.stats.metric import METRICS as KNOWN

Document = Mapping[str, Any]
"""A finding, or a part of one: value, low, high, threshold, outcome, and what else it holds."""
METRICS = {name: known.words for name, known in KNOWN.items()}
LOWER_IS_BETTER = frozenset(name for name, known in KNOWN.items() if known.lower_is_better)
"""Differences of these are turned round: above 0 is better for every metric."""
SPOKEN = {"champion": "the one in production", "base": "the same model without adaptation", "tfidf": "a plain word count (TF-IDF)"}


class Names(dict[str, str]):
    """What models are called; a candidate that is not among them has the name that its pipeline file gives it."""

    def __missing__(self, name: str) -> str:
        return name


MODELS = Names(
    {"tfidf": "TF-IDF", "champion": "the champion", "base": "the fine-tuned-only model", "adapted": "the adapted + fine-tuned model"}
)
SIDES = {"pass": "within", "fail": "above", "inconclusive": "an interval that contains"}
"""Outcome -> where a number lies that must not exceed a budget."""


def number(value: float) -> str:
    """Three decimals, or as many of six as a value needs that would otherwise read as zero."""
    return f"{value:.3f}" if abs(value) < 5e-7 or abs(value) >= 0.0005 else f"{value:.6f}".rstrip("0")


def percent(value: float) -> str:
    """A share: 0.0226 is "2.26 %"."""
    return f"{value * 100:.3g} %"


def share(value: float) -> str:
    """A share for a glance: 0.226 is "23 %", kept on one line."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def percents(low: float, high: float) -> str:
    """An interval of :func:`share`."""
    return f"{share(low)} to {share(high)}"


def milliseconds(value: float) -> str:
    """Three digits, or whole ones of a large number."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def model(name: str) -> str:
    """A model in the middle of a sentence."""
    return MODELS[name]


def spoken(name: str | None) -> str:
    """A model for somebody who has heard of none of them."""
    return SPOKEN.get(name or "", name or "")


def metric(name: str) -> str:
    """A metric in the middle of a sentence."""
    return METRICS.get(name, name)


def interval(confidence: float, low: str, high: str) -> str:
    """ "95 % interval 0.010 to 0.020"."""
    return f"{confidence * 100:.4g} % interval {low} to {high}"


def spread(f: Document, show: Callable[[float], str] = number) -> str:
    """The interval of a finding, whose facts hold the confidence."""
    return interval(f["facts"]["confidence"], show(f["low"]), show(f["high"]))


def shown(facts: Document) -> str:
    """What these rows can show, to stand after an interval; nothing where nothing is known of it."""
    if facts["power"] is None or not facts["detectable"]:
        return ""
    return f"; smallest difference that these rows can show: {number(facts['detectable'])}"


def score(f: Document, value: float) -> str:
    """ "adapted scores 0.912 macro-F1 on 240 test rows"."""
    return f"{model(f['facts']['model'])} scores {number(value)} {metric(f['metric'])} on {f['n']:,} test rows"


def comparison(f: Document) -> str:
    """One model against another, without the conclusion; of accuracy with McNemar's test."""
    value, facts = f["value"], f["facts"]
    gap = f"exactly as much as {model(f['against'])}"
    if value:
        side = ("better than" if value > 0 else "worse than") if f["metric"] in LOWER_IS_BETTER else ("above" if value > 0 else "below")
        gap = f"{number(abs(value))} {side} {model(f['against'])}"
    sentence = f"{score(f, facts['score'])}, {gap} ({spread(f)}{shown(facts)})"
    if flips := facts.get("flips"):
        sentence += f", exact McNemar p{' of the first seed' if flips['of_first_seed'] else ''} = {flips['p']:.2g}"
    return sentence


def margin(f: Document) -> str:
    """What a difference means for the margin of non-inferiority."""
    side = {"pass": "not worse by", "fail": "worse by more than", "inconclusive": "an interval that contains"}[f["outcome"]]
    return f"{side} the {number(-f['threshold'])} allowed"


def withheld(candidate: Document) -> str:
    """Why a candidate was not trained: "the rarest class has 3 training rows, fewer than its 8"."""
    below = candidate["code"] == "below_labels"
    bound = f"{'fewer' if below else 'more'} than its {candidate['limit']:,}"
    if candidate.get("measured"):
        bound += f", the {'lower' if below else 'upper'} end of the measured switch point"
    return f"the rarest class has {counted(candidate['labels'], 'training row')}, {bound}"


def ended(sentence: str, f: Document) -> str:
    """``sentence`` with what is behind a mean of seeds, what an open question asks for, and a full stop."""
    if each := f["facts"].get("each"):
        listed = ", ".join(number(value) for value in each)
        sentence += f"; the mean of {len(each)} seeds ({listed}; the first is the model that would be registered)"
    return f"{sentence}{asked_for(f['facts'])}."


def asked_for(facts: Document, rows: str = "test rows") -> str:
    """What an open question asks for, to stand after a sentence; nothing where it is not open. ``rows``: which ones are meant."""
    match facts.get("needs"):
        case "seeds":
            return f"; undecided, and more {rows} alone would not help: the seeds differ too much; ask for more `seeds`"
        case "nothing":
            return f"; undecided, and so close that no sensible number of {rows} would tell"
        case "rows" if facts["power"] is None:
            return f"; undecided; about {roundly(facts['more_rows']):,} more {rows} like these would decide it"
        case "rows":
            likely = f"a decision is likely ({facts['power'] * 100:.0f} %)"
            return f"; undecided; label about {roundly(facts['more_rows']):,} more {rows}, and {likely}"
    return ""


def roundly(rows: int) -> int:
    """A number of rows that nobody takes for exact."""
    return max(10, round(rows, -1 if rows < 1_000 else -2))


def undefined(f: Document) -> str:
    """Why a metric says nothing, without a full stop."""
    one_label = f"all {'clean ' * f['facts']['clean']}test rows have one label"
    reason = one_label if f["facts"]["reason"] == "one_label" else "a model gave no probabilities"
    return f"{metric(f['metric'])} is not defined: {reason}"


def not_finite(facts: Document) -> str:
    """The rows of which probabilities cannot be used."""
    rows = facts["rows"]
    return f"{'row' if rows['count'] == 1 else 'rows'} {some(rows)}"


def some(names: Document) -> str:
    """``{first, count}``: the first names, and how many more there are."""
    return first_of(names["first"], total=names["count"])


def listed(names: Sequence[str]) -> dict[str, Any]:
    """The fact that :func:`some` tells: the first of many names, and how many there are."""
    return {"first": list(names[:NAMED]), "count": len(names)}


def power_lines(summary: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the last test rows can show, a line a model and a line a column of slices."""
    whole = [row for row in summary if "slices" not in row]
    for against in dict.fromkeys(row["against"] for row in whole):
        rows = [row for row in whole if row["against"] == against]
        effects = [f"{number(row['detectable'])} {METRICS[row['metric']]}" for row in rows if row["detectable"]]
        said = " or ".join(effects) or "not known, every resample gave the same difference"
        yield f"{rows[0]['rows']:,} rows against {MODELS[against]}: {said}"
    for row in summary:
        if "slices" in row:
            span = " to ".join(dict.fromkeys((number(row["detectable"]), number(row["detectable_at_worst"]))))
            slices = f"{row['count']} slice{'s' * (row['count'] != 1)} by {row['slices']}"
            yield f"{slices} against {MODELS[row['against']]}: {span} {METRICS[row['metric']]}"
