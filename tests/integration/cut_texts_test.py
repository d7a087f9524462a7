"""Fine-tuning measures its texts before it trains: which length it takes where nobody named one, and what it says of what it cuts."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from tinyspace import POSITIONS, sentence, tiny_rows

from regraft.core import files
from regraft.core.progress import Running, running
from regraft.execution.resolve import resolve
from regraft.execution.text_lengths import cut_texts
from regraft.execution.text_lengths import sentence as told
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options

LABELS = ["garden", "harbour", "kitchen"]


def rows(longer: dict[str, int]) -> pd.DataFrame:
    """The tiny rows, thrice as many in train as in dev and test; ``longer``: so many of a split's have 40 words more."""
    import random

    table = pd.DataFrame(tiny_rows())
    table["split"] = [["train", "train", "train", "dev", "test"][number % 5] for number in range(len(table))]
    for split, count in longer.items():
        chosen = table.index[table["split"] == split][:count]
        table.loc[chosen, "text"] += " " + sentence(random.Random(5), "garden", 40)
    return table


def made(base, table, out, **own):
    options = finetune_options({"epochs": 1, "batch_size": 16}, own)
    with running(Running(pipeline="tiny", report=True)):
        return finetune(base, table, LABELS, options, name="finetune", text_column="text", seed=17, out=out)


def warnings(capfd) -> list[str]:
    printed = [json.loads(line.removeprefix("@@ ")) for line in capfd.readouterr().out.splitlines() if line.startswith("@@ ")]
    return [event["message"] for event in printed if event["event"] == "warning"]


@pytest.mark.parametrize("method", [{}, {"method": "linear_probe"}])
def test_without_the_key_the_training_rows_choose_and_the_model_says_the_length(base, tmp_path, method):
    short = made(base, rows({"test": 20}), tmp_path / "short", **method)
    assert short["max_length"] == files.read_json(tmp_path / "short" / "serving.json")["max_length"] == 16
    assert (short["cut_train"], short["cut_test"] > 0.5) == (0.0, True), "test rows are told of, and choose nothing"


def test_a_length_is_never_more_than_the_model_reads(base, tmp_path):
    table = rows({})
    table["text"] = [" ".join([text] * 8) for text in table["text"]]
    metrics = made(base, table, tmp_path / "model")
    assert (metrics["max_length"], metrics["cut_train"]) == (POSITIONS, 1.0)


def test_five_percent_of_cut_rows_are_a_warning_and_fewer_are_not(base, tmp_path, capfd):
    table = rows({})
    train = int((table["split"] == "train").sum())
    made(base, rows({"train": int(train * 0.049)}), tmp_path / "few", max_length=16)
    assert warnings(capfd) == []
    metrics = made(base, rows({"train": int(train * 0.12)}), tmp_path / "many", max_length=16)
    (message,) = warnings(capfd)
    assert message.startswith(f"{metrics['cut_train']:.0%}".replace("%", " %") + " of the train rows")
    assert "finetune.max_length: 56 would cut 0 % of the train rows" in message


def test_before_the_first_training_plan_tells_the_share_of_the_first_rows(tiny):
    short, whole = ({**resolve(tiny, "tiny", [f"finetune.max_length={length}"])} for length in (12, 32))
    (entry,) = cut_texts(tiny, "tiny", short)
    assert (entry["measured"], entry["first_rows"]) == (None, {"rows": 120, "cut": 1.0})
    assert "100 % of the first 120 rows are longer than 12 tokens, and would be cut there" in told(entry)
    (entry,) = cut_texts(tiny, "tiny", whole)
    assert (entry["warning"], entry["first_rows"]["cut"]) == (None, 0.0)
    assert told(entry) == "finetune-base, finetune-adapted: none of the first 120 rows is longer than 32 tokens"
