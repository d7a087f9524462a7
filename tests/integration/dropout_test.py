"""Dropout from a quarter of the random numbers: what it promises."""

from __future__ import annotations

import pytest
import torch

from regraft.training.dropout import CASES, factors, quarter_draws

F = torch.nn.functional
MANY = torch.Size([1_000_000])


def dropped(values: torch.Tensor, p: float = 0.1, seed: int = 3) -> torch.Tensor:
    torch.manual_seed(seed)
    with quarter_draws():
        return F.dropout(values, p)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_as_many_values_are_dropped_as_were_asked_for_in_each_quarter_of_a_word(p):
    torch.manual_seed(1)
    gone = factors(MANY, round(CASES * p), torch.float32) == 0
    error = (p * (1 - p) / (MANY.numel() / 4)) ** 0.5
    for quarter in range(4):
        assert abs(gone[quarter::4].float().mean().item() - p) < 5 * error + 1 / CASES


def test_what_stays_is_scaled_by_the_share_that_stays_and_gradients_go_where_it_does():
    values = torch.ones(1_000, 3, requires_grad=True)
    result = dropped(values)
    result.sum().backward()
    scale = CASES / (CASES - 6_554)
    assert sorted(result.unique().tolist()) == [0.0, pytest.approx(scale)]
    assert values.grad.equal(result.detach())


def test_the_draws_follow_from_the_seed_alone():
    values = torch.ones(101)
    assert dropped(values).equal(dropped(values))
    assert not dropped(values).equal(dropped(values, seed=4))


@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (3, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape_and_type_comes_back_as_it_was(shape, dtype):
    result = dropped(torch.ones(shape, dtype=dtype))
    assert (result.shape, result.dtype) == (torch.Size(shape), dtype)


def test_modules_draw_so_too_and_only_inside_and_only_in_training():
    module, values = torch.nn.Dropout(0.5), torch.ones(64)
    torch.manual_seed(3)
    outside = module(values)
    torch.manual_seed(3)
    with quarter_draws():
        inside = module(values)
        assert module.eval()(values) is values
        assert F.dropout(values, 1.0).equal(torch.zeros(64))
        assert F.dropout(values, 0.0).equal(values)
    assert not inside.equal(outside)
    torch.manual_seed(3)
    assert module.train()(values).equal(outside)
