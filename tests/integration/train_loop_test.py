from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from regraft.core.errors import ConfigError, EnvironmentFault, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.models.machine import Machine
from regraft.training.checkpoint import Checkpoints
from regraft.training.loop import schedule, train
from regraft.training.phase import Batches, Group, Phase, Watch

HEAD, ALL = 5, 9


class Toy(nn.Module):
    """Body, dropout, head: small enough to train to the end in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(nn.functional.dropout(self.body(x).tanh(), 0.3, self.training))


def phases(model, _machine, stop_at=None, nan_at=None, refuse_at=None):
    def loss(offset):
        def at(step):
            if offset + step + 1 == stop_at:
                STOP.set()
            x = torch.randn(8, 6, generator=torch.Generator().manual_seed(offset + step))
            value = nn.functional.cross_entropy(model(x).float(), torch.arange(8) % 3)
            return (value * float("nan") if offset + step + 1 == nan_at else value), 8

        return at

    return [
        Phase("head", HEAD, loss(0), [Group(list(model.head.parameters()), 1e-2)], dropout=False, after=lambda: {"before": 1.25}),
        Phase("all", ALL, loss(HEAD), [Group(list(model.parameters()), 1e-2)], watch=refuse_at and watch(model, refuse_at)),
    ]


def watch(model, refuse_at):
    """A look every third step; what it sees of the weights is a note."""

    def allows(step, notes):
        notes[f"seen at {step}"] = model.head.weight.sum().item()
        return step < refuse_at

    return Watch(3, allows)


HERE = replace(Machine.here(), threads=1)  # two threads would only wait for one another


@pytest.fixture(autouse=True)
def _one_quiet_thread(monkeypatch):
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: HERE))
    STOP.clear()
    yield
    STOP.clear()


def fit(folder=None, seconds=1e9, allow_inexact=False, **how):
    model = Toy()
    context = Running(pipeline="p", checkpoints=folder, allow_inexact=allow_inexact)
    with running(context):
        notes = train("pretrain", model, lambda m, machine: phases(m, machine, **how), seed=17, checkpoint_seconds=seconds)
    return {name: value.tolist() for name, value in model.state_dict().items()}, notes, context


@pytest.mark.parametrize("cut", range(1, HEAD + ALL))
def test_a_run_cut_at_any_step_ends_with_the_bits_of_an_uncut_one(tmp_path, cut):
    whole, notes, _ = fit()
    with pytest.raises(Interrupted, match=f"stopped at step {cut} of {HEAD + ALL}") as stopped:
        fit(tmp_path, stop_at=cut)
    assert stopped.value.fix == "regraft run p"
    STOP.clear()
    weights, again, _ = fit(tmp_path)
    assert weights == whole
    assert notes == again == {"before": 1.25}


def test_a_run_cut_again_and_again_ends_with_the_same_bits(tmp_path):
    whole, _, _ = fit()
    for cut in (2, 5, 6, 11, 13):
        with pytest.raises(Interrupted):
            fit(tmp_path, stop_at=cut)
        STOP.clear()
    assert fit(tmp_path)[0] == whole


def test_saving_at_every_step_changes_no_bit(tmp_path):
    assert fit(tmp_path, seconds=0)[0] == fit()[0]


@pytest.mark.parametrize(
    ("refuse_at", "kept", "looks"), [(1, 0, [0, 3]), (6, 3, [0, 3, 6]), (ALL, 6, [0, 3, 6, 9]), (99, ALL, [0, 3, 6, 9])]
)
def test_a_watch_ends_a_phase_with_the_weights_of_its_last_allowed_look(refuse_at, kept, looks):
    weights, notes, _ = fit(refuse_at=refuse_at)
    assert notes.keys() == {"before", *(f"seen at {step}" for step in looks)}
    assert sum(map(sum, weights["head.weight"])) == pytest.approx(notes[f"seen at {kept}"], abs=1e-6)
    if kept == ALL:
        assert weights == fit()[0], "looking changes no bit"


@pytest.mark.parametrize("cut", range(HEAD, HEAD + 6))
def test_a_watched_run_cut_at_any_step_ends_with_the_bits_of_an_uncut_one(tmp_path, cut):
    whole, notes, _ = fit(refuse_at=6)
    with pytest.raises(Interrupted):
        fit(tmp_path, stop_at=cut, refuse_at=6)
    STOP.clear()
    assert fit(tmp_path, refuse_at=6)[:2] == (whole, notes)


def test_the_first_phase_trains_the_head_alone():
    model = Toy()
    body = model.body.weight.clone()
    before = model.head.weight.clone()
    train("pretrain", model, lambda m, machine: phases(m, machine)[:1], seed=17, checkpoint_seconds=1e9)
    assert torch.equal(model.body.weight, body)
    assert not torch.equal(model.head.weight, before)


def test_the_seed_reaches_the_dropout():
    results = []
    for seed in (1, 2):
        model = Toy()
        train("pretrain", model, phases, seed=seed, checkpoint_seconds=1e9)
        results.append(model.body.weight.tolist())
    assert results[0] != results[1]


@pytest.mark.parametrize("bad", [1, HEAD + 1, HEAD + ALL])
@pytest.mark.parametrize("seconds", [0, 1e9])
def test_a_loss_that_is_not_finite_names_its_step_and_the_last_finite_weights_are_kept(tmp_path, bad, seconds):
    with pytest.raises(ConfigError, match=f"the loss of step {bad} of {HEAD + ALL} is nan") as failed:
        fit(tmp_path, seconds=seconds, nan_at=bad)
    assert f"{tmp_path}/{bad - 1:08d}" in str(failed.value)
    found = Checkpoints(tmp_path).newest()
    assert found.step == bad - 1
    assert all(torch.isfinite(value).all() for value in found.state["model"].values())


def test_a_step_that_was_continued_counts_the_time_before(tmp_path):
    with pytest.raises(Interrupted):
        fit(tmp_path, stop_at=7)
    STOP.clear()
    spent = Checkpoints(tmp_path).newest().seconds
    assert spent > 0
    assert fit(tmp_path)[2].facts["earlier_seconds"] == spent


def test_without_a_folder_a_stop_says_that_nothing_was_kept():
    with pytest.raises(Interrupted, match="without a checkpoint of this step"):
        fit(stop_at=3)


def test_device_threads_precision_and_exactness_are_recorded(tmp_path):
    machine = Machine.here()
    facts = fit(tmp_path)[2].facts
    assert facts == {"device": machine.device, "threads": machine.threads, "precision": machine.precision, "exact": True}


def test_a_checkpoint_of_another_machine_is_refused_unless_inexact_is_allowed(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        fit(tmp_path, stop_at=7)
    STOP.clear()
    there = Machine("cpu", "elsewhere", 1, "fp32", torch.__version__)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: there))
    with pytest.raises(EnvironmentFault, match=r"elsewhere now"):
        fit(tmp_path)
    assert fit(tmp_path, allow_inexact=True)[2].facts["exact"] is False


def test_the_rate_rises_then_falls_to_nearly_nothing():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates.index(max(rates)) == 5
    assert max(rates) == 1.0
    assert rates[:6] == sorted(rates[:6])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.02
    assert schedule(0, 1) == 1.0


def test_a_bad_batch_names_its_rows_and_the_rate_to_try(tmp_path):
    def named(model, machine):
        all_phase = phases(model, machine, nan_at=HEAD + 3)[1]
        batches = Batches(
            "finetune.batch_size", rows=lambda step: [f"row-{step}-{n}" for n in range(40)], length=int, largest=all_phase.loss
        )
        return [replace(all_phase, groups=[Group(list(model.parameters()), 3e-4, "finetune.learning_rate")], batches=batches)]

    with running(Running(pipeline="p", checkpoints=tmp_path)), pytest.raises(ConfigError) as failed:
        train("finetune", Toy(), named, seed=17, checkpoint_seconds=1e9)
    assert "its batch: row-2-0, row-2-1, " in str(failed.value)
    assert "row-2-31 and 8 more; " in str(failed.value)
    assert failed.value.fix == "regraft run p --set finetune.learning_rate=0.0001"
