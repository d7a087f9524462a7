"""One formatter for each kind of amount: bytes, times, long lists."""

from __future__ import annotations

import pytest

from regraft.core.quantities import clock, duration, first_of, roughly, size
from regraft.core.suggest import guess, nearest, unknown_key


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (53_200, "53.2 kB"), (999_900, "1 MB"), (1.25e9, "1.25 GB"), (5e12, "5,000 GB")],
)
def test_bytes_are_said_in_powers_of_ten(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "running", "measured", "estimated"),
    [
        (-3, "0:00:00", "-3.0 s", "1 s"),
        (0.4, "0:00:00", "0.4 s", "1 s"),
        (59.4, "0:00:59", "59.4 s", "59 s"),
        (119, "0:01:59", "1 min 59 s", "2 min"),
        (3_780, "1:03:00", "1 h 3 min", "63 min"),
        (5_400, "1:30:00", "1 h 30 min", "1.5 h"),
        (200_000, "2 days, 7:33:20", "55 h 33 min", "2 days"),
    ],
)
def test_a_time_is_said_as_what_it_is(seconds, running, measured, estimated):
    assert (clock(seconds), duration(seconds), roughly(seconds)) == (running, measured, estimated)


def test_of_a_long_list_the_first_are_named_and_the_rest_is_counted():
    assert first_of([]) == ""
    assert first_of(["a", "b", "c"]) == "a, b, c"
    assert first_of(list("abcd")) == "a, b, c and 1 more"
    assert first_of(list("abcd"), 1) == "a and 3 more"
    assert first_of(["a", "b"], 2, total=2_000) == "a, b and 1,998 more"


def test_a_wrong_name_is_answered_with_the_nearest_whatever_its_case():
    assert nearest("pretrian", ["tokens", "pretrain"]) == "pretrain"
    assert nearest(" LABEL ", ["Label", "text"]) == "Label"
    assert nearest("zzz", ["tokens"]) is None
    assert guess("tokesn", ["tokens"]) == "; did you mean 'tokens'?"
    assert guess("zzz", ["tokens"], otherwise=".") == "."
    assert unknown_key("a.stpes", ["steps"]) == "a.stpes: unknown; did you mean steps?"
    assert unknown_key("a.zzz", ["steps", "seed"]) == "a.zzz: unknown; here regraft reads steps, seed"
