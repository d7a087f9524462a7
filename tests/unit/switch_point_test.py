"""Where two learning curves cross: the point, its interval, who is withheld by it, and what the page says."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import yaml

from regraft.config.candidates import Candidate
from regraft.core.errors import ConfigError
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.stats.switch import SwitchPoint, crossings, switch_point
from regraft.execution.resolve import resolve
from regraft.gates import words
from regraft.reports.switch_point import section
from regraft.training.options import SwitchPointOptions
from regraft.training.switch_point import numbers, subset

SIZES = (4, 8, 16, 32)
CLASSES = ("a", "b")


@pytest.mark.parametrize(
    ("leads", "at"),
    [
        ((-0.2, -0.1, 0.1, 0.2), 2**3.5),  # half-way between 8 and 16
        ((-0.3, -0.1, 0.3, 0.4), 2**3.25),
        ((0.1, -0.1, 0.1, 0.2), 2**3.5),  # the last crossing
        ((0.1, 0.0, 0.1, 0.2), 0),
        ((-0.1, 0.2, 0.1, -0.1), math.inf),
        ((-0.1, -0.1, -0.1, 0.0), 32),
    ],
)
def test_the_crossing_is_the_size_from_which_fine_tuning_leads_to_the_last(leads, at):
    assert crossings(np.array([leads]), SIZES)[0] == pytest.approx(at)


def answers(few, full, rows=400, draws=3):
    """``few`` and ``full`` are the shares of right answers at each size."""
    ids = [f"{number:04d}" for number in range(rows)]
    truth = [CLASSES[number % 2] for number in range(rows)]
    made = {}
    for way, shares in (("few", few), ("full", full)):
        for size, share in zip(SIZES, shares, strict=True):
            for draw in range(2, 2 + draws):
                right = np.random.default_rng(hash((size, draw)) % 2**32).random(rows) < share  # alike for both ways, as models are
                made[way, size, draw] = Predictions(
                    ids, truth, [label if ok else CLASSES[label == "a"] for label, ok in zip(truth, right, strict=True)]
                )
    return made


def test_the_interval_holds_the_point_and_is_the_same_every_time():
    given = answers((0.70, 0.75, 0.80, 0.82), (0.50, 0.65, 0.83, 0.95))
    point = switch_point(given, seed=17)
    assert 8 < point.low <= point.value <= point.high < 17
    assert point == switch_point(given, seed=17)
    assert (point.sizes, point.draws, point.n) == (SIZES, 3, 400)
    fewer_rows = switch_point(answers((0.70, 0.75, 0.80, 0.82), (0.50, 0.65, 0.83, 0.95), rows=40), seed=17)
    assert fewer_rows.high - fewer_rows.low > point.high - point.low


def test_where_one_way_leads_throughout_the_point_lies_beyond_what_was_measured():
    never = switch_point(answers((0.9,) * 4, (0.5, 0.5, 0.5, 0.6)), seed=17)
    assert (never.low, never.high, never.few_to, never.full_from) == (math.inf, math.inf, None, 33)
    always = switch_point(answers((0.5,) * 4, (0.9,) * 4), seed=17)
    assert (always.low, always.high, always.few_to, always.full_from) == (0, 0, 4, None)


def point(value, low, high):
    return SwitchPoint(SIZES, (0.5, 0.6, 0.7, 0.8), (0.4, 0.55, 0.75, 0.9), value, low, high, 3, 120)


@pytest.mark.parametrize(
    ("low", "high", "labels", "withheld"),
    [
        (9.4, 13.6, 9, ["base"]),
        (9.4, 13.6, 10, []),
        (9.4, 13.6, 13, []),
        (9.4, 13.6, 14, ["pairs"]),
        (0.0, math.inf, 1, []),
        (0.0, math.inf, 10_000, []),
        (math.inf, math.inf, 32, ["base"]),
        (math.inf, math.inf, 33, []),
        (0.0, 0.0, 4, []),
        (0.0, 0.0, 5, ["pairs"]),
    ],
)
def test_the_ends_of_the_interval_withhold_and_between_them_both_ways_are_trained(low, high, labels, withheld):
    measured = point(10.0, low, high)
    ends = {"few_to": measured.few_to, "full_from": measured.full_from}
    candidates = (
        Candidate("pairs", "base", withhold={"above_labels": 64, "measured": True}),
        Candidate("base", "base", withhold={"below_labels": 8, "measured": True}),
        Candidate("means", "base", withhold={"above_labels": 20_000}),
    )
    reasons = [reason for candidate in candidates if (reason := candidate.withheld(labels, ends))]
    assert [reason["model"] for reason in reasons] == withheld
    assert all("of the measured switch point" in words.withheld(reason) for reason in reasons)


def test_the_counts_of_the_file_hold_where_nothing_was_measured():
    base = Candidate("base", "base", withhold={"below_labels": 8, "measured": True})
    assert base.withheld(7) == {"model": "base", "code": "below_labels", "labels": 7, "limit": 8}
    assert base.withheld(8) is None


def test_subsets_are_nested_and_a_new_row_moves_no_other():
    train = pd.DataFrame({"id": [f"r{n}" for n in range(60)], "label": [CLASSES[n % 2] for n in range(60)]})
    small, large = (set(subset(train, size, 2, 17)["id"]) for size in (4, 8))
    assert small < large
    assert len(small) == 8
    assert set(subset(train, 4, 3, 17)["id"]) != small
    grown = pd.concat([train, pd.DataFrame({"id": ["new"], "label": ["a"]})])
    assert len(set(subset(grown, 4, 2, 17)["id"]) - small) <= 1


@pytest.mark.parametrize(("up_to", "sizes"), [(8, (4, 8)), (31, (4, 8, 16)), (32, SIZES)])
def test_each_size_is_twice_the_one_before(up_to, sizes):
    assert SwitchPointOptions(up_to=up_to).sizes == sizes


def test_the_page_shows_both_curves_and_the_point_with_its_interval():
    config = {"few": {"method": "contrastive"}, "full": {}}
    shown = section(numbers(point(10.0, 9.4, 13.6)), config)
    assert shown.end == "On these rows contrastive gives way to full at 10 training rows a class (95 % interval 9 to 14)."
    assert [cell.text for cell in shown.tables[0].rows[0]] == ["4", "0.500", "0.400", "-0.100"]
    assert "drawn 3 times, and answered 120 dev rows; the numbers are their mean macro-F1." in shown.note
    beyond = section(numbers(point(math.inf, 20.0, math.inf)), config)
    assert (
        beyond.end
        == "On these rows contrastive gives way to full at more than 32 training rows a class (95 % interval 20 to more than 32)."
    )
    always = section(numbers(point(0, 0, 0)), config)
    assert always.end.endswith("at fewer than 4 training rows a class (so in at least 95 % of the resamples: fewer than 4).")
    assert section({"tokens": 0.0}, config) is None


def rewritten(tiny, **keys):
    path = tiny.pipeline_file("tiny")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys, sort_keys=False))


def test_auto_withholds_by_what_is_measured_and_only_the_two_ways_that_are_compared(tiny):
    rewritten(tiny, finetune={"method": "auto", "epochs": 3}, switch_point={"up_to": 8})
    values = resolve(tiny, "tiny")
    assert {name: own.get("withhold") for name, own in values["candidates"].items()} == {
        "words": None,
        "means": {"above_labels": 16},
        "probe": None,
        "pairs": {"above_labels": 64, "measured": True},
        "base": {"below_labels": 8, "measured": True},
        "adapted": {"below_labels": 8, "measured": True},
    }
    section = values["switch_point"]
    assert (section["sizes"], section["draws"], section["full"]["epochs"]) == ([4, 8], 3, 3)
    assert section["few"]["method"] == "contrastive"
    rewritten(tiny, switch_point={"few": "prototype"})
    assert resolve(tiny, "tiny")["candidates"]["means"]["withhold"] == {"above_labels": 16, "measured": True}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"switch_point": {}, "finetune": {"method": "linear_probe"}}, "`finetune.method` is linear_probe; name one that trains weights"),
        ({"switch_point": {"up_to": 4}}, "switch_point.up_to: input should be greater than or equal to 8, not 4"),
        ({"switch_point": {"few": "lora"}}, "switch_point.few: input should be 'contrastive' or 'prototype', not 'lora'"),
        (
            {
                "candidates": {
                    "base": {"withhold": {"below_labels": 8, "measured": True}},
                    "probe": {"finetune": {"method": "linear_probe"}},
                }
            },
            "candidates.base.withhold.measured asks for `switch_point`, which is left out",
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused_with_the_way_out(tiny, keys, says):
    rewritten(tiny, **keys)
    with pytest.raises(ConfigError) as refused:
        resolve(tiny, "tiny")
    assert says in str(refused.value)
