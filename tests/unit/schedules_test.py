"""Shares of the peak rate, step by step."""

from __future__ import annotations

import pytest

from regraft.training.schedules import cosine, factor_of, slanted, wsd


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("factor", [cosine, slanted, wsd])
def test_no_step_is_without_a_rate_or_above_the_peak_and_one_is_at_it(factor, steps):
    rates = [factor(step, steps) for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) == 1.0


@pytest.mark.parametrize(("factor", "rise"), [(cosine, 6), (slanted, 10), (wsd, 6)])
def test_rates_rise_once_and_never_again(factor, rise):
    rates = [factor(step, 100) for step in range(100)]
    assert rates[:rise] == sorted(rates[:rise])
    assert rates[rise - 1] == 1.0
    assert rates[rise:] == sorted(rates[rise:], reverse=True)


def test_each_falls_as_its_paper_has_it():
    assert cosine(6 + 47, 100) == pytest.approx(0.5)
    assert slanted(99, 100) == pytest.approx(1 / 32)
    assert [wsd(step, 100) for step in (50, 80, 90, 99)] == pytest.approx([1, 1, 0.5, 0.05])


def test_the_rates_of_the_loop_itself_are_left_to_it():
    assert factor_of("linear", 100) is None
    chosen = factor_of("wsd", 100)
    assert chosen is not None
    assert chosen(90) == wsd(90, 100)
