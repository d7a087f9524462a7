"""Verdicts of schema 1, which held a sentence for each finding: the words of 0.1 and 0.2, frozen.

Their bytes are what `explain` compares a stored verdict with, so nothing here changes, however the living words of a gate
(:mod:`regraft.gates.telling`) do; therefore nothing here imports them. What is new since is not known here. Their intervals
are those that a policy document without a name for another kind asks for; decisions of schema 1 have no ``power`` in theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from regraft.gates.verdict import Finding, Verdict, text_of

SCHEMA = 1
Document = Mapping[str, Any]
METRICS = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "micro_f1": "micro-F1",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "MCC",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "log loss",
}
LOWER_IS_BETTER = frozenset({"log_loss"})
MODELS = {"tfidf": "TF-IDF", "champion": "the champion", "base": "the un-adapted base", "adapted": "adapted"}
SIDES = {"pass": "within", "fail": "above", "inconclusive": "on both sides of"}
WORDINGS = {
    "robustness": {
        "test": "test",
        "no_row": "no test row can be changed by these tests",
        "too_few": "can be changed by one test",
    },
    "counterfactual": {
        "test": "dimension",
        "no_row": "no test row holds a term of the list",
        "too_few": "hold terms of one dimension",
    },
}
CHANGES = {
    "typos": "after a typo",
    "case": "in other capitals",
    "punctuation": "after a change of the last mark",
    "whitespace": "after a line break",
    "length": "after one more sentence",
}
KINDS = {"exact": "word for word", "near": "nearly"}
SOURCES = {"train": "in the training rows", "corpus": "in the corpus"}
PASSED = {"pass": "would have passed", "fail": "would have failed", "inconclusive": "would have decided nothing"}
STAGES = {
    "came": "as the base model came",
    "adapted": "after adaptation",
    "finetune": "after adaptation and fine-tuning",
    "finetune_base": "after fine-tuning without adaptation",
}
NAMED = 3


def render(verdict: Verdict) -> str:
    """The bytes of ``verdict.json``."""
    findings = [_finding(finding) for finding in verdict.findings]
    return text_of({**asdict(verdict), "schema": SCHEMA, "findings": findings})


def sentence(finding: Finding) -> str:
    """A finding in the words of schema 1."""
    f = asdict(finding)  # unrounded: a sentence of schema 1 showed three decimals of the whole number
    facts = f["facts"]
    if f["code"] == "nobody_looked":
        return "nobody looked which test rows overlap with training texts, so none is known to be clean."
    if f["code"] == "few_clean":
        text = f"only {f['n']:,} of {facts['rows']:,} test rows {'is' if f['n'] == 1 else 'are'} clean"
        return f"{text}, and fewer than {facts['least']} decide nothing: {_overlapping(facts['overlaps'])}."
    beside = facts.pop("all_rows", None)
    text = _of_all_rows(f)
    return f"{text.removesuffix('.')}; {_beside(f, beside)}." if beside else text


def _finding(finding: Finding) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(finding).items() if key not in ("code", "facts")}
    return {**kept, "sentence": sentence(finding)}


def _of_all_rows(f: Document) -> str:
    match f["code"]:
        case "no_champion":
            return "no champion yet: nothing to compare with."
        case "incomparable":
            return f"champion version {f['facts']['version']} cannot be compared with: {_champion_problem(f['facts']['problem'])}."
        case "undefined" if f["gate"] not in ("adaptation", "seeds"):
            return f"{_undefined(f)}."
    return WORDS[f["gate"]](f)


def _number(value: float) -> str:
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.6f}".rstrip("0")


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _model(name: str) -> str:
    return MODELS.get(name, name)


def _metric(name: str) -> str:
    return METRICS.get(name, name)


def _interval(confidence: float, low: str, high: str) -> str:
    return f"{confidence * 100:.4g} % interval {low} to {high}"


def _spread(f: Document, show: Callable[[float], str] = _number) -> str:
    return _interval(f["facts"]["confidence"], show(f["low"]), show(f["high"]))


def _shown(facts: Document) -> str:
    if facts["power"] is None or not facts["detectable"]:
        return ""
    return f"; detectable with {facts['power'] * 100:.0f} % power: {_number(facts['detectable'])}"


def _score(f: Document, value: float) -> str:
    return f"{_model(f['facts']['model'])} scores {_number(value)} {_metric(f['metric'])} on {f['n']:,} test rows"


def _comparison(f: Document) -> str:
    value, facts = f["value"], f["facts"]
    gap = f"exactly as much as {_model(f['against'])}"
    if value:
        side = ("better than" if value > 0 else "worse than") if f["metric"] in LOWER_IS_BETTER else ("above" if value > 0 else "below")
        gap = f"{_number(abs(value))} {side} {_model(f['against'])}"
    sentence = f"{_score(f, facts['score'])}, {gap} ({_spread(f)}{_shown(facts)})"
    if flips := facts.get("flips"):
        sentence += f", exact McNemar p{' of the first seed' if flips['of_first_seed'] else ''} = {flips['p']:.2g}"
    return sentence


def _margin(f: Document) -> str:
    side = {"pass": "not worse by", "fail": "worse by more than", "inconclusive": "on both sides of"}[f["outcome"]]
    return f"{side} the {_number(-f['threshold'])} allowed"


def _ended(sentence: str, f: Document) -> str:
    if each := f["facts"].get("each"):
        listed = ", ".join(_number(value) for value in each)
        sentence += f"; the mean of {len(each)} seeds ({listed}; the first is the model that would be registered)"
    return f"{sentence}{_asked_for(f['facts'])}."


def _asked_for(facts: Document, rows: str = "test rows") -> str:
    match facts.get("needs"):
        case "seeds":
            return f"; that does not decide, and more {rows} alone would not: the seeds differ too much; ask for more `seeds`"
        case "nothing":
            return "; that does not decide, and the distance is too small for any sensible number of rows to"
        case "rows" if facts["power"] is None:
            return f"; that does not decide; about {_roundly(facts['more_rows']):,} more {rows} like these would"
        case "rows":
            return (
                f"; that does not decide; label about {_roundly(facts['more_rows']):,} more {rows} for {facts['power'] * 100:.0f} % power"
            )
    return ""


def _roundly(rows: int) -> int:
    return max(10, round(rows, -1 if rows < 1_000 else -2))


def _undefined(f: Document) -> str:
    one_label = f"all {'clean ' * f['facts']['clean']}test rows have one label"
    reason = one_label if f["facts"]["reason"] == "one_label" else "a model gave no probabilities"
    return f"{_metric(f['metric'])} is not defined: {reason}"


def _not_finite(facts: Document) -> str:
    rows = facts["rows"]
    return f"{'row' if rows['count'] == 1 else 'rows'} {_some(rows)}"


def _some(names: Document) -> str:
    more = names["count"] - len(names["first"])
    return ", ".join(names["first"]) + (f" and {more:,} more" if more > 0 else "")


def _adaptation(f: Document) -> str:
    if f["code"] == "undefined":
        return f"{_undefined(f)}, so base is the candidate."
    paid = "adaptation paid, so adapted is the candidate" if f["facts"]["paid"] else "adaptation did not pay here, so base is the candidate"
    return _ended(f"{_comparison(f)}: {paid}", f)


def _at_least(f: Document) -> str:
    side = {"pass": "not below", "fail": "below", "inconclusive": "on both sides of"}[f["outcome"]]
    return _ended(f"{_score(f, f['value'])} ({_spread(f)}), {side} the floor of {_number(f['threshold'])}", f)


def _beats(f: Document) -> str:
    return _ended(_comparison(f), f)


def _non_inferior(f: Document) -> str:
    return _ended(f"{_comparison(f)}, {_margin(f)}", f)


def _slices(f: Document) -> str:
    facts = f["facts"]
    if f["code"] == "too_few":
        return f"no slice by {', '.join(facts['columns'])} has {facts['min_rows']} rows; {_slices_too_small(facts['small'])}."
    value = f["value"]
    gap = f"{_number(abs(value))} {'above' if value > 0 else 'below'}" if value else "exactly as good as"
    text = f"on {facts['slice']} ({f['n']:,} rows) {_model(facts['model'])} is {gap} {_model(f['against'])} in accuracy"
    text += f" ({_spread(f)}{_shown(facts)}), {_margin(f)}"
    if f["outcome"] == "inconclusive":
        more = facts["more_rows"]
        remedy = "no sensible number of rows decides that"
        text += f"; {remedy if more is None else f'label about {_roundly(more):,} more of this slice for 80 % power'}"
    return f"{text}; {_slices_all(facts)}."


def _slices_all(facts: Document) -> str:
    parts = []
    for outcome, word in (("fail", "worse"), ("inconclusive", "open"), ("pass", "good enough")):
        if count := facts["slices"][outcome]["count"]:
            parts.append(f"{count} {word}" + (f" ({_some(facts['slices'][outcome])})" if outcome != "pass" else ""))
    total = sum(each["count"] for each in facts["slices"].values())
    text = f"of {total} slice{'s' * (total != 1)} {', '.join(parts)}"
    return f"{text}; {_slices_too_small(facts['small'])}" if facts["small"]["slices"] else text


def _slices_too_small(small: Document) -> str:
    return f"{small['slices']:,} with too few rows ({small['rows']:,} in all) not judged"


def _negative_flips(f: Document) -> str:
    facts, n = f["facts"], f["n"]
    rows = f"{_model(facts['model'])} gets {facts['lost']:,} of {n:,} test rows wrong that the champion gets right"
    share = f"{_percent(f['value'])} ({_spread(f, _percent)})"
    text = _ended(f"{rows}: {share}, {SIDES[f['outcome']]} the budget of {_percent(f['threshold'])}", f)
    if facts["suspect"] is None or not facts["lost"]:
        return text
    return f"{text.removesuffix('.')}; {_on_suspect_labels(facts['lost'], facts['suspect'], n)}."


def _on_suspect_labels(lost: int, suspect: int, n: int) -> str:
    if lost == 1:
        return f"its label is {'suspect' if suspect else 'not suspect'}"
    if suspect in (0, lost):
        return f"{'all' if suspect else 'none'} of the {lost:,} have a suspect label"
    share = _percent((lost - suspect) / n)
    verb = "has" if suspect == 1 else "have"
    return f"{suspect:,} of the {lost:,} {verb} a suspect label, the others are {share} of the test rows"


def _holdout(f: Document) -> str:
    if f["code"] == "not_counted":
        return "decisions on these test rows were not counted."
    decisions, budget = f["value"], f["threshold"]
    taken = f"{decisions:,.0f} different decisions have been taken on these test rows, this one included"
    if decisions == 1:
        taken = "this is the first decision on these test rows"
    if decisions <= budget:
        return f"{taken}; the budget is {budget:,.0f}."
    worn = "what they say is no longer independent of the models they chose; label fresh test rows"
    return f"{taken}, and the budget is {budget:,.0f}: {worn}."


def _fairness_called(rate: str, label: str | None) -> str:
    return rate.replace("_", " ") + (f" of {label}" if label is not None else "")


def _fairness(f: Document) -> str:
    facts = f["facts"]
    rate = _fairness_called(facts["rate"], facts["label"])
    if f["code"] == "label_absent":
        return f"no test row is labelled {facts['label']!r}, so there is no {rate}."
    if f["code"] == "few_groups":
        names = facts["groups"]
        listing = ", ".join(names["first"]) + (" and more" if names["count"] > NAMED else "")
        why = f"fewer than 2 groups of {' or '.join(facts['columns'])} have {facts['min_rows']} rows that count for {rate}"
        return f"{why}: {listing or 'there is none'}."
    rates = " and ".join(f"{_number(group['rate'])} on {_fairness_group(group)}" for group in facts["groups"])
    text = f"{_model(facts['model'])} has {rate} {rates}, a gap of {_number(f['value'])} ({_spread(f)}{_shown(facts)})"
    text += f", {SIDES[f['outcome']]} the {_number(f['threshold'])} allowed; the largest gap of {facts['judged']} groups"
    if small := facts["small"]["groups"]:
        text += f", {small} with too few rows ({facts['small']['rows']:,} in all) not judged"
    other = facts["other"]
    text += f"; with {_model(other['model'])} these two are {' and '.join(map(_number, other['rates']))}"
    return f"{text}{_asked_for(facts, 'such rows')}."


def _fairness_group(group: Document) -> str:
    return f"{group['column']} = {group['value']} ({_counted(group['rows'], 'row')})"


def _side(part: Document, show: Callable[[float], str] = _number) -> str:
    good, bad = ("not below", "below") if part["floor"] else ("within", "above")
    where = {"pass": good, "fail": bad, "inconclusive": "on both sides of"}[part["outcome"]]
    return f", {where} the {'least asked' if part['floor'] else 'budget'} of {show(part['threshold'])}"


def _unanswered(f: Document) -> str | None:
    match f["code"]:
        case "not_answered":
            return "the step `probes` has not answered this question."
        case "not_finite":
            return f"{_model(f['facts']['model'])} gives probabilities that are not finite for {_some(f['facts']['rows'])}."
    return None


def _probes(f: Document) -> str:
    wording = WORDINGS[f["gate"]]
    if (problem := _unanswered(f)) is not None:
        return problem
    facts = f["facts"]
    if f["code"] == "too_few":
        sizes = ", ".join(f"{part['test']} {part['rows']:,}" for part in facts["sizes"])
        few = f"fewer than {facts['min_rows']} test rows {wording['too_few']} ({sizes}), so nothing is judged"
        return f"{few if facts['sizes'] else wording['no_row']}."
    rows = f"{facts['failed']:,} of {f['n']:,} test rows {_changed(f)}"
    text = f"{_model(facts['model'])} changes its answer to {rows}: {_percent(f['value'])} ({_spread(f, _percent)})"
    text += f", {SIDES[f['outcome']]} the {_percent(f['threshold'])} allowed; {_origin(facts)}"
    judged = sum(map(len, facts["tests"].values()))
    text += f"; {_family(facts, judged, wording)}" if judged + len(facts["small"]) > 1 else ""
    return f"{text}{_asked_for(facts, 'such rows')}."


def _changed(f: Document) -> str:
    test = f["facts"]["test"]
    return CHANGES[test] if f["gate"] == "robustness" else f"when its terms of {test} are exchanged"


def _origin(facts: Document) -> str:
    both = facts["in_both"]
    if facts["model"] == "adapted":
        added = f"{facts['only_adapted']:,} only since the adaptation"
        return f"{both:,} of these rows change with the un-adapted base too, {added}, and {facts['only_base']:,} no longer do"
    return f"with adapted it is {_counted(both + facts['only_adapted'], 'row')}" + (f", {both:,} of them the same" if both else "")


def _family(facts: Document, judged: int, wording: Mapping[str, str]) -> str:
    parts = []
    for outcome, word in (("fail", "above"), ("inconclusive", "open"), ("pass", "within")):
        if names := facts["tests"][outcome]:
            parts.append(f"{len(names)} {word}" + (f" ({', '.join(names)})" if outcome != "pass" else ""))
    family = f"of {judged} {wording['test']}{'s' * (judged != 1)} {', '.join(parts)}"
    few = ", ".join(f"{part['test']} ({_counted(part['rows'], 'row')})" for part in facts["small"])
    return f"{family}; too few rows for {few}" if facts["small"] else family


def _templates(f: Document) -> str:
    facts = f["facts"]
    if (problem := _unanswered(f)) is not None:
        return problem
    text = f"{_model(facts['model'])} gets {facts['failed']:,} of {_counted(f['n'], 'case')} of the templates wrong"
    text += f", {_percent(f['value'])} (an exact count), {SIDES[f['outcome']]} the {_percent(f['threshold'])} allowed"
    if not facts["worst"]:
        return f"{text}."
    worst = [f"{test['kind']} ({test['failed']:,} of {test['cases']:,})" for test in facts["worst"]]
    more = f" and {_counted(facts['more_tests'], 'more test')}" if facts["more_tests"] else ""
    return f"{text}; {', '.join(worst)}{more}."


def _seeds(f: Document) -> str:
    if f["code"] == "undefined":
        return f"{_undefined(f)}."
    if f["code"] == "not_trained":
        return "the further seeds that the gate asks for were not trained, so the noise of the seeds is in no interval."
    facts, number = f["facts"], _number
    each = facts["each"]
    text = f"{_model(facts['model'])} scores {number(f['value'])} {_metric(f['metric'])} in the mean of {len(each)} seeds"
    text += f" ({_spread(f)}), from {number(min(each))} to {number(max(each))}"
    text += f"; the model that would be registered, the first, {number(each[0])}"
    text += f". Standard deviation by seed {number(facts['deviation'])}, by test rows {number(facts['row_error'])}"
    if others := facts["others"]:
        names, verb = " and ".join(map(_model, others)), "have" if len(others) > 1 else "has"
        text += f"; {names} {verb} one seed"
    return f"{text}. What is no metric of all or of clean rows is about the registered model alone."


def _calibration(f: Document) -> str:
    name = _model(f["facts"]["model"])
    if f["code"] == "no_probabilities":
        return f"{name} gave no probabilities, so nothing is known of their calibration."
    if f["code"] == "never_abstains":
        return f"{name} has no threshold below which it abstains: it was trained before `abstain` was asked for."
    return f"{name} on {f['facts']['rows']:,} test rows: {'; '.join(map(_calibration_part, f['facts']['parts']))}."


def _calibration_part(part: Document) -> str:
    facts, show = part["facts"], _percent if part["floor"] else _number
    spread, end = _spread(part, show), f"{_side(part, show)}{_asked_for(facts)}"
    if part["metric"] == "ece":
        over = f"{facts['bins']} bins of equally many rows" if facts["bins"] > 1 else "1 bin of all rows"
        return f"probabilities are off by {_number(part['value'])} (ECE over {over}, {spread}){end}"
    if part["metric"] == "brier":
        return f"the Brier score is {_number(part['value'])} ({spread}){end}"
    text = f"{_percent(part['value'])} are answered ({spread})"
    if right := facts["right"]:
        shares = {key: _percent(value) for key, value in right.items()}
        text += f", and {shares['value']} of those right ({shares['low']} to {shares['high']}; {_percent(facts['precision'])} wanted)"
    return f"{text}{end}"


def _cost(f: Document) -> str:
    facts = f["facts"]
    match f["code"]:
        case "not_measured":
            return "what serving takes was not measured."
        case "failed":
            return f"what serving takes could not be measured: {facts['problem']}."
        case "other_model":
            return f"what was measured is another model ({facts['measured'][:12]}) than the candidate ({facts['candidate'][:12]})."
    machine = facts["machine"]
    place = f"{machine['device']} ({machine['capability']}, {_counted(machine['threads'], 'thread')})"
    return f"serving {_model(facts['model'])} on {place}: {'; '.join(map(_cost_part, facts['parts']))}."


def _cost_part(part: Document) -> str:
    name = part["metric"]
    if name in ("peak_mb", "size_mb"):
        subject = "the process takes" if name == "peak_mb" else "the files take"
        return f"{subject} {part['value']:,.1f} MB{_side(part, lambda budget: f'{budget:,g} MB')}"
    label, _, batch = name.partition("_ms_batch_")
    texts = "one text" if batch == "1" else f"{batch} texts"
    text = f"{label} of {texts} is {_milliseconds(part['value'])} ms ({_spread(part, _milliseconds)}, {part['n']:,} timings)"
    return f"{text}{_side(part, lambda budget: f'{budget:g} ms')}"


def _milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _forgetting(f: Document) -> str:
    facts, number = f["facts"], _number
    if f["code"] == "not_measured":
        return "nothing was measured on general text, so nothing is known of what was forgotten."
    if f["code"] == "not_finite":
        sequences = facts["sequences"]
        listing = f"sequence{'s' * (sequences['count'] > 1)} {_some(sequences)}"
        return f"the loss on general text {STAGES[facts['stage']]} is not finite ({listing}); its training went wrong."
    costs = ", ".join(f"{number(each['loss'])} {STAGES[each['stage']]}" for each in facts["stages"])
    size = f"{_counted(facts['masked_tokens'], 'masked token')} in {_counted(f['n'], 'held-out sequence')}"
    change = f"{number(abs(f['value']))} {'more' if f['value'] > 0 else 'less'} than" if f["value"] else "the same as"
    text = f"guessing a masked token of {_text_called(facts['text'])} costs, in nats, {costs}: {change} at first"
    text += f" ({_spread(f)}{_shown(facts)}; {size}), {SIDES[f['outcome']]} the budget of {number(f['threshold'])}"
    if f["outcome"] != "inconclusive":
        return f"{text}."
    if facts["sequences"] is None:
        return f"{text}; that does not decide, and the distance is too small for any sensible amount of text to."
    return f"{text}; that does not decide; `sequences: {facts['sequences']}` would with {100 * (facts['power'] or 0.8):g} % power."


def _text_called(path: str | None) -> str:
    return f"the general text in {path}" if path else "general technical English (the docstrings of Python's standard library)"


def _earlier_tasks(f: Document) -> str:
    facts = f["facts"]
    if f["code"] == "not_measured":
        return f"nothing was measured on {', '.join(facts['tasks'])}, so nothing is known of what was forgotten there."
    if f["code"] == "not_finite":
        listing = f"held-out row{'s' * (facts['rows']['count'] > 1)} {_some(facts['rows'])}"
        return f"the features of {facts['task']} {STAGES[facts['stage']]} are not finite ({listing}); its training went wrong."
    opening = "a linear probe on the frozen encoder is right about this share of the held-out rows"
    return f"{opening}: {'; '.join(map(_earlier_tasks_part, facts['parts']))}."


def _earlier_tasks_part(part: Document) -> str:
    facts, value = part["facts"], part["value"]
    stages = ", ".join(f"{_number(each['accuracy'])} {STAGES[each['stage']]}" for each in facts["stages"])
    gap = f"{_number(abs(value))} {'less' if value > 0 else 'more'} than at first" if value else "the same as at first"
    text = f"{facts['task']} {stages}: {gap} ({_spread(part)}{_shown(facts)}; {part['n']:,} rows){_side(part)}"
    if part["outcome"] != "inconclusive":
        return text
    if facts["more_rows"] is None:
        return f"{text}; no sensible number of rows decides that"
    rows = f"label about {facts['more_rows']:,} more rows of {facts['data']} for 80 % power"
    return f"{text}; {rows}, of which every other one is held out"


def _overlapping(overlaps: Sequence[Document]) -> str:
    if not overlaps:
        return "none of them overlaps with a training text"
    total = sum(part["rows"] for part in overlaps)
    parts = [f"{part['rows']:,} {KINDS[part['kind']]} {SOURCES[part['source']]}" for part in overlaps]
    return f"{total:,} overlap{'s' * (total == 1)} with training texts ({', '.join(parts)})"


def _beside(clean: Document, beside: Document) -> str:
    whole, overlapping = beside["finding"], _overlapping(beside["overlaps"])
    if clean["n"] == whole["n"]:
        return f"these are all test rows, {overlapping}"
    opening = f"of all {whole['n']:,} test rows {overlapping}, and on all of them "
    if whole["value"] is None:
        return f"{opening}there is no number: {_of_all_rows(whole).removesuffix('.')}"
    value = _number(whole["value"])
    if whole["against"]:
        sides = ("better than", "worse than") if whole["metric"] in LOWER_IS_BETTER else ("above", "below")
        gap = f"{_number(abs(whole['value']))} {sides[whole['value'] < 0]}"
        value = f"{gap if whole['value'] else 'exactly as much as'} {_model(whole['against'])}"
    interval = _interval(beside["confidence"], _number(whole["low"]), _number(whole["high"]))
    otherwise = f", which {PASSED[whole['outcome']]}" if whole["outcome"] != clean["outcome"] else ""
    return f"{opening}it is {value} ({interval}){otherwise}"


def _identity(f: Document) -> str:
    facts = f["facts"]
    return f"{facts['model']} is already champion (version {facts['version']}), byte for byte: there is nothing to register."


def _finite(f: Document) -> str:
    under = f" under seed {f['facts']['seed']}" if f["facts"]["seed"] else ""
    rows = _not_finite(f["facts"])
    reason = f"{_model(f['against'])} gives probabilities that are not finite{under} for {rows}"
    return f"{reason}; its training went wrong, and nothing was compared."


def _champion_problem(problem: Document) -> str:
    match problem["code"]:
        case "not_scored":
            return "it was not scored on these rows"
        case "other_model":
            return f"the predictions at hand are those of another model ({problem['digest'][:12]})"
        case "labels":
            changes = (("it knows", problem["lost"]), ("it does not know", problem["new"]))
            listed = [f"{word} {', '.join(names)}" for word, names in changes if names]
            return f"the label set changed ({'; '.join(listed)})"
        case "not_finite":
            return f"its probabilities are not finite for {_not_finite(problem)}"
    return str(problem["message"])


WORDS: Mapping[str, Callable[[Document], str]] = {
    "finite": _finite,
    "identity": _identity,
    "adaptation": _adaptation,
    "at_least": _at_least,
    "beats": _beats,
    "non_inferior_by": _non_inferior,
    "slices": _slices,
    "negative_flips": _negative_flips,
    "holdout": _holdout,
    "fairness": _fairness,
    "robustness": _probes,
    "counterfactual": _probes,
    "templates": _templates,
    "seeds": _seeds,
    "calibration": _calibration,
    "cost": _cost,
    "forgetting": _forgetting,
    "earlier_tasks": _earlier_tasks,
}
