"""``templates``: cases of a user's own, all of them; they are no sample of anything, so their failure rate is exact."""

from __future__ import annotations

from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.probes import answered, finding, unanswered
from regraft.gates.verdict import Finding


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The share of cases that come out wrong; the interval is the number."""
    options, probes = gate.templates, answered("templates", comparison)
    assert options is not None
    if isinstance(probes, Finding):
        return probes
    failed = probes.failed("templates", comparison.candidate)
    n, failures = sum(map(len, failed.values())), sum(sum(rows.values()) for rows in failed.values())
    share = rounded(failures / n)
    rate = Measured(share, share, share, rounded(options.max_failure_rate), gate.confidence)
    kinds = sorted((kind for kind, rows in failed.items() if any(rows.values())), key=lambda kind: -sum(failed[kind].values()))
    worst = [{"kind": kind, "failed": sum(failed[kind].values()), "cases": len(failed[kind])} for kind in kinds[: words.NAMED]]
    facts = {"model": comparison.candidate, "failed": failures, "worst": worst, "more_tests": len(kinds) - len(worst)}
    return finding("templates", rate, n, at_most(rate), **facts)


def sentence(f: words.Document) -> str:
    """The finding in words; the tests with most wrong cases come at the end."""
    facts = f["facts"]
    if (problem := unanswered(f)) is not None:
        return problem
    text = f"{words.model(facts['model'])} gets {facts['failed']:,} of {words.counted(f['n'], 'case')} of the templates wrong"
    text += f", {words.percent(f['value'])} (an exact count), {words.SIDES[f['outcome']]} the {words.percent(f['threshold'])} allowed"
    if not facts["worst"]:
        return f"{text}."
    worst = [f"{test['kind']} ({test['failed']:,} of {test['cases']:,})" for test in facts["worst"]]
    more = f" and {words.counted(facts['more_tests'], 'more test')}" if facts["more_tests"] else ""
    return f"{text}; {', '.join(worst)}{more}."
