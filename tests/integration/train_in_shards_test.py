"""Training in shards: the same bits for any number of workers, cut or not; what dies or fails leaves no process behind."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from regraft.core.errors import ConfigError, EnvironmentFault, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.models.machine import Machine
from regraft.training import loop, workers
from regraft.training.checkpoint import Checkpoints
from regraft.training.loop import train
from regraft.training.parts import CHUNK, chunks, places, share, summed
from regraft.training.phase import Group, Phase

HEAD, ALL, ROWS, SHARDS = 3, 6, 11, 8


class Toy(nn.Module):
    """A tied weight, dropout, a parameter larger than a chunk, one that nothing depends on and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words, self.body, self.head = nn.Embedding(CHUNK // 8 + 3, 8), nn.Linear(8, 8), nn.Linear(8, CHUNK // 8 + 3)
        self.head.weight = self.words.weight
        self.unused, self.frozen = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(8))

    def forward(self, ids):
        inner = nn.functional.dropout(self.body(self.words(ids) * self.frozen).tanh(), 0.3, self.training)
        return self.head(inner)


def rows_of(step):
    """Fewer rows than shards at every third step."""
    return torch.randint(0, 90, (5 if step % 3 == 2 else ROWS, 2), generator=torch.Generator().manual_seed(step))


def phases(model, _machine, stop_at=None, fail_at=None, nan_at=None, dropout=True):
    trained = [p for name, p in model.named_parameters() if name != "frozen"]

    def of(offset):
        def loss(rows):
            return nn.functional.cross_entropy(model(rows[:, 0]).float(), rows[:, 1]), len(rows)

        def whole(step):
            return loss(rows_of(offset + step))

        def part(step, k, n):
            if k == 0 and offset + step + 1 == stop_at:  # once: a handler inside a handler would wait for its own lock
                os.kill(os.getppid(), signal.SIGUSR1)
            if k == 5 and offset + step + 1 == fail_at:
                raise ValueError(f"part {k} of {n}")
            rows = share(rows_of(offset + step), k, n)
            if not len(rows):
                return None
            value, weight = loss(rows)
            return (value * float("nan") if offset + step + 1 == nan_at else value), weight

        return whole, part

    def phase(name, offset, steps, groups, **more):
        whole, part = of(offset)
        return Phase(name, steps, whole, groups, part=part, **more)

    head = [Group([model.head.bias], 1e-2)]
    groups = [Group(trained[:1], 1e-2), Group(trained[1:], 1e-3)]
    penalty = lambda: 0.01 * sum(p.square().sum() for p in model.body.parameters())  # noqa: E731
    return [phase("head", 0, HEAD, head, dropout=False), phase("all", HEAD, ALL, groups, penalty=penalty, dropout=dropout)]


def workers_here() -> list[int]:
    """Workers that a test left behind; other files in this process may have children of their own."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(child) for child in children if Path("/proc", child, "comm").read_text() == "regraft worker\n"]


@pytest.fixture(autouse=True)
def _stopped_by_a_signal():
    STOP.clear()
    before = signal.signal(signal.SIGUSR1, lambda *_: STOP.set())
    yield
    signal.signal(signal.SIGUSR1, before)
    STOP.clear()
    assert not workers_here()


def fit(monkeypatch, count, folder=None, shards=SHARDS, seconds=1e9, **how):
    monkeypatch.setattr(loop, "workers", lambda _: count)
    model, context = Toy(), Running(pipeline="p", checkpoints=folder)
    with running(context):
        train("pretrain", model, lambda m, machine: phases(m, machine, **how), seed=17, checkpoint_seconds=seconds, shards=shards)
    return {name: value.clone() for name, value in model.state_dict().items()}, context


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def test_any_number_of_workers_gives_the_same_bits_and_about_those_of_whole_batches(monkeypatch):
    one, context = fit(monkeypatch, 1)
    assert all(same(one, fit(monkeypatch, count)[0]) for count in (2, 4, 8))
    assert {name: context.facts[name] for name in ("threads", "shards", "workers")} == {"threads": 1, "shards": 8, "workers": 1}
    assert context.facts["workers_mb"] > 0
    untouched = Toy().state_dict()
    assert torch.equal(one["unused"], untouched["unused"])
    assert torch.equal(one["frozen"], untouched["frozen"])
    assert torch.equal(one["head.weight"], one["words.weight"])
    exact = replace(Machine.here(), precision="fp32")
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: exact))
    cut, _ = fit(monkeypatch, 2, dropout=False)
    whole, _ = fit(monkeypatch, 1, shards=1, dropout=False)
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert not same(cut, untouched)


@pytest.mark.parametrize("cut", [1, HEAD, HEAD + 1, HEAD + 4])
def test_a_run_goes_on_with_another_number_of_workers_to_the_same_bits(monkeypatch, tmp_path, cut):
    whole, _ = fit(monkeypatch, 1)
    with pytest.raises(Interrupted, match=f"stopped at step {cut} of"):
        fit(monkeypatch, 2, tmp_path, stop_at=cut)
    STOP.clear()
    assert same(fit(monkeypatch, 4, tmp_path)[0], whole)
    assert Checkpoints(tmp_path).start().machine.shards == SHARDS


def test_a_worker_that_is_killed_ends_the_training_and_nothing_is_lost(monkeypatch, tmp_path):
    whole, _ = fit(monkeypatch, 1)
    real, killed = workers.Team.step, []

    def kill(team, step, *more):
        if team._shared.phase.name == "all" and step == 2 and not killed:
            killed.append(team._processes[1])
            os.kill(killed[0], signal.SIGKILL)
        return real(team, step, *more)

    monkeypatch.setattr(workers.Team, "step", kill)
    with pytest.raises(EnvironmentFault, match=r"one of the 4 processes .* killed by SIGKILL") as died:
        fit(monkeypatch, 4, tmp_path, seconds=0)
    assert died.value.fix == "regraft run p"
    assert Checkpoints(tmp_path).newest().step == HEAD + 2
    assert same(fit(monkeypatch, 2, tmp_path)[0], whole)


def test_what_a_worker_raises_is_raised_with_the_place_where_it_was(monkeypatch):
    with pytest.raises(ValueError, match="part 5 of 8") as failed:
        fit(monkeypatch, 4, fail_at=HEAD + 2)
    assert Path(__file__).name in failed.value.__notes__[0]


@pytest.mark.parametrize("bad", [1, HEAD + 1])
def test_a_loss_that_is_not_finite_changes_no_weight(monkeypatch, tmp_path, bad):
    with pytest.raises(ConfigError, match=f"the loss of step {bad} of {HEAD + ALL} is nan"):
        fit(monkeypatch, 2, tmp_path, nan_at=bad)
    assert all(torch.isfinite(value).all() for value in Checkpoints(tmp_path).newest().state["model"].values())


def test_want_of_memory_in_a_worker_is_the_steps_own(monkeypatch):
    def refuse(model, machine):
        [head, _] = phases(model, machine)

        def part(step, k, n):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

        return [replace(head, part=part)]

    monkeypatch.setattr(loop, "workers", lambda _: 2)
    with pytest.raises(EnvironmentFault, match=r"out of memory .*tried to allocate 9 bytes"):
        train("pretrain", Toy(), refuse, seed=17, checkpoint_seconds=1e9, shards=8)


def test_workers_die_with_the_process_that_trains(monkeypatch, tmp_path):
    """A kill -9 of it, in the middle of a step."""
    monkeypatch.setattr(loop, "workers", lambda _: 2)
    trainer = os.fork()
    if not trainer:

        def sleeping(model, machine):
            def part(step, k, n):
                (tmp_path / f"{os.getpid()}").touch()
                time.sleep(600)

            return [replace(phases(model, machine)[0], part=part)]

        train("pretrain", Toy(), sleeping, seed=17, checkpoint_seconds=1e9, shards=8)
        os._exit(1)
    while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
        assert os.waitpid(trainer, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    handles = [os.pidfd_open(pid) for pid in pids]
    os.kill(trainer, signal.SIGKILL)
    os.waitpid(trainer, 0)
    for handle in handles:
        assert select.select([handle], [], [], 60)[0], "a worker lives on"
        os.close(handle)


def test_what_needs_whole_batches_is_refused(monkeypatch):
    def without(model, machine):
        return [replace(phase, part=None) for phase in phases(model, machine)]

    with pytest.raises(ConfigError, match="the phase 'head' needs whole batches"):
        train("pretrain", Toy(), without, seed=17, checkpoint_seconds=1e9, shards=8)
    with pytest.raises(ConfigError, match="the model's 1 needs whole batches"):
        train("p", nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), lambda *_: [], seed=17, checkpoint_seconds=1e9, shards=8)


def test_every_row_is_in_one_part_and_parts_differ_by_one_row_at_most():
    for rows in range(40):
        parts = [share(range(rows), k, 8) for k in range(8)]
        assert [row for part in parts for row in part] == list(range(rows))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_tree_is_the_same_whoever_adds_up_its_subtrees():
    leaves = [torch.tensor([0.1 * 3**k, 1e8 / (k + 1)]) for k in range(8)]
    for count in (1, 2, 4, 8):
        room = [torch.empty(2) for _ in range(places(8 // count))]
        leaf = lambda k, place, room=room: [room[place].copy_(leaves[k])]  # noqa: E731
        subtrees = [summed(8 // count * r, 8 // count * (r + 1), leaf)[0].clone() for r in range(count)]
        [total] = summed(0, count, lambda r, _, subtrees=subtrees: [subtrees[r]])
        pairs = [leaves[k] + leaves[k + 1] for k in (0, 2, 4, 6)]
        assert total.equal((pairs[0] + pairs[1]) + (pairs[2] + pairs[3]))


def test_chunks_cover_every_element_once():
    tensors = [torch.arange(float(n)) for n in (0, 1, CHUNK, CHUNK + 1)]
    assert [chunk.stop - chunk.start for chunk in chunks(tensors)] == [1, CHUNK, CHUNK, 1]
    assert torch.cat([chunk.of(tensors) for chunk in chunks(tensors)]).equal(torch.cat(tensors))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_a_machine_with_one_core_and_one_with_two_make_the_same_model(tmp_path):
    """The whole way of fine-tuning, dev scores included, where nothing but the number of cores differs."""
    import pandas as pd
    from tinyspace import tiny_rows, write_tiny_model

    from regraft.core import files
    from regraft.training.finetuning import finetune
    from regraft.training.options import finetune_options

    base = write_tiny_model(tmp_path / "tiny")
    rows = pd.DataFrame(tiny_rows())
    rows["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(rows))]
    options = finetune_options({}, {"epochs": 2, "batch_size": 14, "max_length": 16, "shards": 4})
    every, made = os.sched_getaffinity(0), {}
    for cores in (1, 2):
        context, out = Running(pipeline="p"), tmp_path / str(cores)
        os.sched_setaffinity(0, sorted(every)[:cores])
        try:
            with running(context):
                metrics = finetune(base, rows, ["garden", "harbour", "kitchen"], options, name="f", text_column="text", seed=17, out=out)
        finally:
            os.sched_setaffinity(0, every)
        assert context.facts["workers"] == cores
        made[cores] = metrics, files.tree(out)
    assert made[1] == made[2]
