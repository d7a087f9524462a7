"""What a run says of how it goes on."""

from __future__ import annotations

import shlex

from regraft.core.errors import EnvironmentFault, Interrupted, Problem
from regraft.execution.going_on import command, restated

SETS = ["finetune.epochs=3", "data.labelled=[a b.csv,c.csv]"]
AGAIN = command("tiny", SETS)


def test_the_command_is_the_one_that_was_typed():
    assert shlex.split(AGAIN) == ["regraft", "run", "tiny", "--set", SETS[0], "--set", SETS[1]]
    assert command("tiny", allow_inexact=True) == "regraft run tiny --allow-inexact"
    assert command("tiny") == "regraft run tiny"


def test_whatever_names_the_plain_command_names_the_overrides_too():
    problem = Problem(message="stopped", fix="regraft run tiny", row=3)
    error = restated(Interrupted("`regraft run tiny` continues", fix="regraft run tiny --wait", problems=[problem]), "tiny", AGAIN)
    assert type(error) is Interrupted
    assert (str(error), error.fix) == (f"`{AGAIN}` continues", f"{AGAIN} --wait")
    assert error.problems == [{"message": "stopped", "fix": AGAIN, "row": 3}]


def test_other_pipelines_and_overrides_that_are_there_stay():
    text = "regraft run tiny_2, regraft run tiny --set a=b, regraft runs tiny"
    assert str(restated(EnvironmentFault(text), "tiny", AGAIN)) == text
