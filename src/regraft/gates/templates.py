"""``templates``: cases of a user's own, all of them; they are no sample of anything, so their failure rate is exact."""

from __future__ import annotations

from collections.abc import Mapping

from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.probes import END, answered, finding
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
    outcome = at_most(rate)
    sentence = f"{words.MODELS[comparison.candidate]} gets {failures:,} of {words.counted(n, 'case')} of the templates wrong"
    sentence += f", {words.percent(share)} (an exact count), {END[outcome]} the {words.percent(rate.threshold)} allowed"
    return finding("templates", rate, n, outcome, f"{sentence}{_worst_first(failed)}.")


def _worst_first(failed: Mapping[str, Mapping[str, bool]]) -> str:
    """The tests with most wrong cases, to stand at the end of a sentence; nothing where every case came out right."""
    kinds = sorted((kind for kind, rows in failed.items() if any(rows.values())), key=lambda kind: -sum(failed[kind].values()))
    if not kinds:
        return ""
    worst = [f"{kind} ({sum(failed[kind].values()):,} of {len(failed[kind]):,})" for kind in kinds[: words.NAMED]]
    more = f" and {words.counted(len(kinds) - len(worst), 'more test')}" if len(kinds) > len(worst) else ""
    return f"; {', '.join(worst)}{more}"
