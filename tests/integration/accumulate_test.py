"""What a worker adds up is what autograd finds under autocast."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from regraft.models.machine import Machine
from regraft.training.accumulate import Accumulator, low

MACHINE = Machine("cpu", "", 1, "bf16", torch.__version__)


class Toy(nn.Module):
    """A tied head, a layer that is read twice, one that is frozen, one that computes in fp32 and one that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.words, self.places = nn.Embedding(50, 16, padding_idx=0), nn.Embedding(4, 16)
        self.twice, self.frozen, self.precise = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16, bias=False)
        self.norm, self.unread, self.head = nn.LayerNorm(16), nn.Linear(16, 16), nn.Linear(16, 50)
        self.head.weight = self.words.weight
        self.frozen.requires_grad_(False)

    def forward(self, ids):
        inner = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        inner = self.twice(self.frozen(self.twice(self.norm(inner)).tanh()))
        with torch.autocast("cpu", enabled=False):
            inner = self.precise(inner.float())
        return self.head(inner)


def loss(model, ids):
    return nn.functional.cross_entropy(model(ids).flatten(0, 1).float(), ids.flatten())


def test_sums_are_the_gradients_of_autocast():
    ids = torch.randint(0, 50, (6, 4), generator=torch.Generator().manual_seed(1))
    model = Toy()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with MACHINE.autocast():
        value = loss(model, ids)
    expected = dict(zip(trained, torch.autograd.grad(value, list(trained.values()), allow_unused=True), strict=True))

    copies = {weight: weight.detach().bfloat16() for weight in low(model, MACHINE)}
    accumulator = Accumulator(model, list(trained.values()), copies)
    sums = [torch.full_like(p, 7.0) for p in trained.values()]  # what an earlier step left
    for _ in range(2):  # the second time the same, not twice as much
        accumulator.begin(sums)
        with MACHINE.autocast():
            again = loss(model, ids)
        again.backward()
        accumulator.end()
        assert again.item() == value.item()
        assert accumulator.present == [gradient is not None for gradient in expected.values()]
        for (name, gradient), own in zip(expected.items(), sums, strict=True):
            if gradient is None:
                assert not own.any(), name
            elif name.startswith(("words", "twice")):  # sums of two and more: in another order
                torch.testing.assert_close(own, gradient, rtol=1e-2, atol=1e-4, msg=name)
            else:
                assert own.equal(gradient), name
        assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(("precision", "weights"), [("bf16", 5), ("fp32", 0)])
def test_a_weight_is_copied_once_where_it_is_cast_and_only_there(precision, weights):
    class Own(nn.Linear):
        """Whatever it does with its weight."""

    model = Toy()
    model.own = Own(2, 2)
    assert len(low(model, replace(MACHINE, precision=precision))) == weights
