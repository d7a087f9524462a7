"""The switch point measured: by training and dev rows alone, on the same rows when it goes on, and left out where rows are too few."""

from __future__ import annotations

import pytest
from stopping import stopped_at
from tinyspace import tiny_table

from regraft.core import files
from regraft.core.errors import Interrupted
from regraft.core.progress import Running, running
from regraft.execution.resolve import resolve
from regraft.execution.withheld import counted_by, withheld
from regraft.training import switch_point
from regraft.training.options import SwitchPointOptions, finetune_options

LABELS = ["garden", "harbour", "kitchen"]
TOLD = {"text_column": "text", "text_pair": None, "task": "text-classification"}


@pytest.fixture(scope="module")
def rows():
    """20 training rows a class, 10 dev rows, 10 test rows."""
    return tiny_table("train", "train", "dev", "test")


def measure(base, rows, scratch, checkpoints=None):
    options, full = (
        SwitchPointOptions(few="prototype", up_to=8, draws=2),
        finetune_options({"epochs": 1, "batch_size": 8, "max_length": 16}, {}),
    )
    ways = {"few": options.read(full), "full": full}
    with running(Running(pipeline="tiny", checkpoints=checkpoints)) as context:
        measured = switch_point.measure(base, rows, LABELS, ways, options.sizes, options.draws, seed=17, scratch=scratch, told=TOLD)
        return (*measured, context.warned)


def test_test_rows_have_no_part_in_it_and_a_cut_measurement_goes_on_to_the_same_numbers(base, rows, tmp_path):
    document, metrics, _ = measure(base, rows, tmp_path)
    assert {key for key in metrics if "_" in key} == {
        *(f"{way}_{size}" for way in ("few", "full") for size in (4, 8)),
        "dev_rows",
    }
    assert metrics["few_8"] > 0.5
    assert document["few_to"] is None or document["few_to"] >= 4
    unlike = rows.assign(text=rows["text"].where(rows["split"] != "test", "another text"))
    with stopped_at(2, training="switch_point/full-8-2"), pytest.raises(Interrupted):  # of three steps
        measure(base, unlike, tmp_path, tmp_path / "checkpoints")
    kept = sorted(path.parent.name for path in (tmp_path / "checkpoints").rglob("answers.parquet"))
    assert kept == ["few-4-2", "few-8-2", "full-4-2"]
    again = measure(base, unlike, tmp_path, tmp_path / "checkpoints")
    assert again[:2] == (document, metrics)


def test_rows_too_few_for_two_sizes_measure_nothing_and_say_so(base, rows, tmp_path):
    few = rows[(rows["split"] != "train") | (rows.groupby(["label", "split"]).cumcount() < 7)]
    document, metrics, (said,) = measure(base, few, tmp_path)
    assert (document, metrics) == (None, {"tokens": 0.0})
    assert said == (
        "no switch point is measured: the rarest class has 7 training rows and there are 30 dev rows, and it takes 8 and some dev rows; "
        "the counts of `withhold` hold"
    )


def test_who_is_withheld_waits_for_the_step_and_follows_what_it_left(tiny, monkeypatch):
    from regraft.execution import withheld as module

    sets = ["switch_point.few=prototype", "finetune.method=auto"]
    assert counted_by(resolve(tiny, "tiny")) == ("contract", "splits")
    resolved = resolve(tiny, "tiny", sets)
    assert counted_by(resolved) == ("contract", "splits", "switch_point")
    monkeypatch.setattr(module, "_fewest", lambda *_: 9)
    place = tiny.artifacts("tiny", "switch_point") / "out" / "switch_point.json"
    for left, names in (
        ({"few_to": 8, "full_from": None}, ["means"]),
        ({"few_to": None, "full_from": 10}, ["base", "adapted"]),
        (None, []),
    ):
        files.write_json(place, left)
        assert [reason["model"] for reason in withheld(tiny, "tiny", resolved)] == names
