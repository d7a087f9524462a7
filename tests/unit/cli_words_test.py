"""What the command line prints where a person or a pipe reads it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from regraft.cli import console, predict
from regraft.cli.prediction_input import Asked
from regraft.core.errors import ConfigError
from regraft.evaluation.answering import Answer
from regraft.production import manual_promotion

LONG = "accounts-receivable/dispute/second-reminder-before-collection"
TEXT = "the customer says that the invoice of May was paid twice and asks for the money to be sent back"


def shown(width: int, *, terminal: bool, label: str = LONG) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    predict._show(out, [Asked(TEXT)], [Answer(label, 0.97, {label: 0.97})])
    return out.file.getvalue()


def test_a_pipe_gets_labels_and_texts_whole():
    header, row = shown(80, terminal=False).splitlines()
    assert row.split() == [LONG, "0.97", *TEXT.split()]
    assert "…" not in header + row


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_the_text_is_cut_and_the_label_is_not(width):
    lines = shown(width, terminal=True).splitlines()
    assert max(map(len, lines)) <= width
    assert "".join(line[: min(len(LONG), width - predict.BESIDE)].strip() for line in lines[1:]) == LONG
    assert "…" in lines[1] or TEXT in lines[1]


@pytest.mark.parametrize(("terminal", "lines"), [(True, [TEXT[:39] + "…"]), (False, [TEXT])])
def test_a_line_is_folded_nowhere(terminal, lines):
    out = Console(file=io.StringIO(), width=40, force_terminal=terminal, color_system=None)
    console.line(TEXT, out)
    assert out.file.getvalue().splitlines() == lines


@pytest.mark.parametrize(("beside", "words", "fix"), [
    ("demo-20261128-120000-ab12", "is a run, which names its pipeline itself", "regraft promote demo-20261128-120000-ab12"),
    ("second", "'second' is no version of demo: versions are numbers", "regraft history demo"),
    ("2.0", "'2.0' is no version of demo", "regraft history demo"),
])  # fmt: skip
def test_what_stands_beside_a_pipeline_is_a_version(beside, words, fix):
    with pytest.raises(ConfigError, match=words) as refused:
        manual_promotion.asked("demo", beside)
    assert refused.value.fix == fix
    assert manual_promotion.asked("demo", "2").version == 2
