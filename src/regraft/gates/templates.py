"""``templates``: cases of a user's own, all of them; they are no sample of anything, so their failure rate is exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from regraft.core.strict import Strict
from regraft.data.pairs import MARK, apart
from regraft.evaluation.probe_labels import guess
from regraft.evaluation.probe_options import TemplateFile
from regraft.evaluation.stats.measured import Measured, at_most, rounded
from regraft.gates import budgets, changed_texts, words
from regraft.gates.options import CONFIDENCE, GateOptions
from regraft.gates.probes import ONCE, PROBES, answered, finding, measured, unanswered
from regraft.gates.protocol import Gate, Named
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison


class Budget(Strict):
    """A budget for cases of your own that come out wrong: CheckList's minimum functionality and directional tests."""

    file: str = Field(min_length=1)
    """A YAML file of tests; docs/ml-engineer.md shows one."""
    max_failure_rate: float = Field(0.0, ge=0, lt=1)
    """Share of all cases. They are all there are, so this has no interval."""


class Templates(GateOptions):
    """A limit to how many cases of your own may come out wrong."""

    gate: ClassVar[str] = "templates"
    templates: Budget
    """The share of cases of your own that come out wrong, held against a budget."""


def judge(gate: Templates, comparison: Comparison) -> Finding:
    """The share of cases that come out wrong; the interval is the number."""
    options, probes = gate.templates, answered("templates", comparison)
    if isinstance(probes, Finding):
        return probes
    failed = probes.failed("templates", comparison.candidate)
    n, failures = sum(map(len, failed.values())), sum(sum(rows.values()) for rows in failed.values())
    share = rounded(failures / n)
    rate = Measured(share, share, share, rounded(options.max_failure_rate), CONFIDENCE)
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


def _read(gate: Templates, named: Named) -> Any:
    """The tests of the file; a label that the data contract does not list is a fault of it, and so is one text where a row is two."""
    path = gate.templates.file
    tests = named.content(path, TemplateFile, "templates", "file")["tests"]
    for number, label in [(number, test["label"]) for number, test in enumerate(tests) if "label" in test]:
        if named.labels is not None and label not in named.labels:
            named.fault(path, ("tests", number, "label"), f"the data contract lists no label {label!r}{guess(label, named.labels)}", label)
    for number, test in enumerate(tests if named.pairs else ()):
        for place, text in _templates(test):
            if len(apart(text)) != 2:
                what = f"{text!r} is one text, and with task.text_pair the model reads two: 'first {MARK} second'"
                named.fault(path, ("tests", number, *place), what, text, "two texts")
    return tests


def _templates(test: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where each text of a test stands in it, and the text."""
    for i, text in enumerate(test.get("texts", ())):
        yield ("texts", i), text
    for i, pair in enumerate(test.get("pairs", ())):
        yield from ((("pairs", i, j), text) for j, text in enumerate(pair))


TEMPLATES = Gate(
    Templates,
    judge,
    sentence,
    show=words.percent,
    evidence=(PROBES,),
    measured=measured,
    once=ONCE,
    reads=_read,
    change=lambda f: budgets.change_of("cases of the templates that come out wrong", f, words.percent),
    remedy="test rows that it can be asked of",
    failed=lambda _: "it gets cases wrong that it has to get right",
    section=changed_texts.section,
)
