"""Which runs of a sequence are cut out, what is read then, and what is written."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.training.objectives.span_corruption import Spans

MARKS = tuple(range(900, 1000))
TEXT = np.arange(10, 138)


def cut(spans, ids, *where):
    return spans.one(ids, 17, *where)


@pytest.mark.parametrize(("begin", "end"), [(0, (1,)), (1, (3,))])
def test_what_is_read_and_what_is_written_are_the_sequence_again_and_the_frame_stays(begin, end):
    spans = Spans(0.15, 3.0, MARKS, begin, end)
    ids = np.concatenate([TEXT[:begin], TEXT, end])
    read, written = cut(spans, ids, 0, 0)
    assert (read[:begin].tolist(), read[-1], written[-1]) == (ids[:begin].tolist(), end[0], end[0])
    runs = np.split(written[:-1], np.flatnonzero(written[:-1] >= 900))[1:]
    assert [run[0] for run in runs] == list(MARKS[: len(runs)])
    assert min(map(len, runs)) > 1
    again = [token for one in read for token in (runs[one - 900][1:].tolist() if one >= 900 else [one])]
    assert again == ids.tolist()


def test_all_sequences_of_a_length_come_out_at_one_length_with_the_share_and_the_mean_that_were_asked_for():
    spans = Spans(0.15, 3.0, MARKS, 0, (1,))
    ids = np.stack([np.append(TEXT[:127], 1)] * 40)
    read, written = spans.batch(ids, 17, [(0, place) for place in range(40)])
    assert spans.sizes(128) == (19, 6)
    assert (read.shape, written.shape) == ((40, 128 - 19 + 6), (40, 19 + 6 + 1))
    assert len({tuple(row) for row in read.tolist()}) == 40
    assert read[0, 0] == 10  # begins with what stays
    assert read[0, -2] == MARKS[5]  # and ends with what was cut out


def test_a_cut_is_a_function_of_seed_epoch_and_place_alone():
    spans = Spans(0.15, 3.0, MARKS, 0, (1,))
    ids = np.append(TEXT, 1)
    (alone, _), (others, _) = spans.batch(ids[None], 17, [(2, 5)]), spans.batch(np.stack([ids, ids]), 17, [(0, 1), (2, 5)])
    assert alone[0].tolist() == others[1].tolist()
    assert cut(spans, ids, 2, 5)[0].tolist() != cut(spans, ids, 3, 5)[0].tolist()


@pytest.mark.parametrize("density", [0.01, 0.5])
@pytest.mark.parametrize("mean", [1.0, 20.0])
def test_the_ends_of_the_ranges_leave_something_to_read_and_something_to_write(density, mean):
    spans = Spans(density, mean, MARKS, 1, (3,))
    read, written = cut(spans, np.arange(16), 0, 0)
    assert ((read >= 900).sum(), (read < 900).sum()) == ((written >= 900).sum(), 16 - (written < 900).sum() + 1)
    assert (written >= 900).sum() >= 1
