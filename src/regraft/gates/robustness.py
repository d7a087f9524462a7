"""``robustness``: CheckList's invariance tests; the worst one is the finding (:mod:`regraft.gates.probes`)."""

from __future__ import annotations

from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.probes import Wording, judge_family, sentence_of
from regraft.gates.verdict import Finding

CHANGES = {
    "typos": "after a typo",
    "case": "in other capitals",
    "punctuation": "after a change of the last mark",
    "whitespace": "after a line break",
    "length": "after one more sentence",
}
WORDING = Wording("test", CHANGES.__getitem__, "no test row can be changed by these tests", "can be changed by one test")


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The share of rows that a change turns which says nothing, test by test."""
    options = gate.robustness
    assert options is not None
    return judge_family(gate, comparison, options.max_failure_rate, options.min_rows, WORDING)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return sentence_of(f, WORDING)
