"""What a terminal shows of a run at work."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from regraft.cli import live
from regraft.cli.console import prose


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal whose clock stands still until a test moves ``screen.now``."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120, get_time=lambda: console.now)
    console.now = 100.0
    monkeypatch.setattr(live, "out", console)
    return console


def drawn(shown: live.Live) -> str:
    """The newest drawing of the bar, without colours."""
    console = Console(file=io.StringIO(), width=120)
    console.print(shown._progress.get_renderable())
    return console.file.getvalue().strip()


def advance(shown: live.Live, screen: Console, **progress: object) -> str:
    for done in (0, 10, 20):
        shown.show({"event": "progress", "step": "pretrain", "done": done, "total": 100, "unit": "steps", "metrics": {}, **progress})
        screen.now += 5
    return drawn(shown)


@pytest.mark.parametrize(("of_one", "speed"), [({"tokens": 2048.0}, "4,096 tokens/s"), ({}, "2.0 steps/s")])
def test_a_step_at_work_has_its_speed_the_time_left_and_its_place_among_all(screen, of_one, speed):
    with live.Live(quiet=False) as shown:
        shown.show({"event": "run_started", "run": "demo-1", "steps": ["contract", "corpus", "pretrain"]})
        shown.show({"event": "step_started", "step": "pretrain"})
        screen.now += 7
        assert drawn(shown).split()[-5:] == ["0:00:07", "step", "3", "of", "3"], "no end in sight: the time taken"
        line = advance(shown, screen, **of_one)
        assert line.startswith("pretrain")
        assert line.split("━")[-1].strip("╸╺ ").split() == ["20", "%", *speed.split(), "0:00:40", "left", "step", "3", "of", "3"]
        shown.show({"event": "step_finished", "step": "pretrain", "state": "computed", "seconds": 50.0})
        assert drawn(shown) == ""


LONG = {"contract": 5.0, "finetune-adapted": 60.0, "score-adapted": 300.0}


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "finetune-adapted 20 % 0:00:40 left run: 6 min left"),
        (80, "finetune-adapted 20 % 0:00:40 left step 2 of 3 run: 6 min left"),
        (100, "finetune-adapted 20 % 204,800 tokens/s 0:00:40 left step 2 of 3 run: 6 min left"),
        (120, "finetune-adapted ━ 20 % 204,800 tokens/s 0:00:40 left step 2 of 3 run: 6 min left"),
    ],
)
def test_the_line_of_the_step_at_work_fits_and_says_how_long_the_whole_run_will_take(screen, width, shown):
    screen.width = width
    with live.Live(quiet=False) as showing:
        showing.show({"event": "run_started", "run": "demo-1", "steps": list(LONG), "expected": LONG})
        showing.show({"event": "step_started", "step": "contract"})
        showing.show({"event": "step_finished", "step": "contract", "state": "cached", "seconds": 0.5})
        showing.show({"event": "step_started", "step": "finetune-adapted"})
        for done in (0, 10, 20):
            progress = {"done": done, "total": 100, "unit": "steps", "metrics": {}, "tokens": 102_400}
            showing.show({"event": "progress", "step": "finetune-adapted", **progress})
            screen.now += 5
        console = Console(file=io.StringIO(), width=width)
        console.print(showing._progress.get_renderable())
    (line,) = console.file.getvalue().splitlines()
    assert " ".join(re.sub("━+", "━", line).split()) == shown


def test_a_part_that_counts_no_tokens_changes_no_unit(screen):
    with live.Live(quiet=False) as shown:
        shown.show({"event": "run_started", "run": "demo-1", "steps": ["pretrain"]})
        shown.show({"event": "step_started", "step": "pretrain"})
        advance(shown, screen, tokens=2048.0)
        shown.show({"event": "progress", "step": "pretrain", "done": 30, "total": 100, "unit": "steps", "metrics": {}})
        assert "tokens/s" in drawn(shown)


def test_sentences_break_between_words_and_hang_under_their_beginning_on_a_terminal_alone(screen):
    screen.width = 50
    said = "  [green]pass          [/]the candidate scores 0.630 accuracy on 135 test rows"
    screen.print(prose(said, 16, screen), soft_wrap=True)
    lines = [Text.from_ansi(line).plain for line in screen.file.getvalue().splitlines()]
    assert lines == ["  pass          the candidate scores 0.630", " " * 16 + "accuracy on 135 test rows"]
    pipe = Console(file=io.StringIO(), width=50, soft_wrap=True)
    pipe.print(prose(said, 16, pipe))
    assert pipe.file.getvalue() == "  pass          the candidate scores 0.630 accuracy on 135 test rows\n"
