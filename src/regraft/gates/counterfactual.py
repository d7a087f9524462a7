"""``counterfactual``: rows that flip with the people in them; the worst dimension is the finding (:mod:`regraft.gates.probes`)."""

from __future__ import annotations

from regraft.gates import words
from regraft.gates.comparison import Comparison
from regraft.gates.options import GateOptions
from regraft.gates.probes import Wording, judge_family, sentence_of
from regraft.gates.verdict import Finding

WORDING = Wording(
    "dimension", "when its terms of {} are exchanged".format, "no test row holds a term of the list", "hold terms of one dimension"
)


def judge(gate: GateOptions, comparison: Comparison) -> Finding:
    """The share of rows whose answer changes with gender, religion and the like, dimension by dimension."""
    options = gate.counterfactual
    assert options is not None
    return judge_family(gate, comparison, options.max_flip_rate, options.min_rows, WORDING)


def sentence(f: words.Document) -> str:
    """The finding in words."""
    return sentence_of(f, WORDING)
