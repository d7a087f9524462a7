"""Ranks of torchrun share a training: the bits of one, and what is left when one of them dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from regraft.core.errors import ConfigError
from regraft.core.progress import Running, running
from regraft.models.machine import Machine
from regraft.training import loop
from regraft.training.checkpoint import Checkpoints
from regraft.training.divided import Divided
from regraft.training.ranks import Ranks

SCRIPT = """
import os, runpy, signal, sys
import torch
from regraft.core.progress import Running, running
from regraft.training import loop, workers
from regraft.training.divided import Divided
from regraft.training.loop import train

if sys.argv[5:] == ["divided"]:
    loop.Team = lambda phase, model, optimizer, kind, machine, seed, count, ranks: Divided(phase, model, optimizer, machine, seed, ranks)
toy, out, seconds, dying = runpy.run_path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
real, rank, model = workers.Team.step, os.environ["RANK"], None

def step(team, number, *more):
    if rank == "1" and team._shared.phase.name == "all" and number == dying:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(team, number, *more)

workers.Team.step, model = step, toy["Toy"]()
context = Running(pipeline="p", checkpoints=__import__("pathlib").Path(out))
with running(context):
    train("pretrain", model, toy["phases"], seed=17, checkpoint_seconds=seconds, shards=8)
torch.save({"model": model.state_dict(), "workers": context.facts["workers"]}, f"{out}/rank-{rank}.pt")
"""
TOY = Path(__file__).with_name("train_in_shards_test.py")


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def whole(monkeypatch):
    """The weights of one rank with one worker."""
    import runpy

    monkeypatch.setattr(loop, "workers", lambda _: 1)
    return trained(runpy.run_path(str(TOY)))


def trained(toy):
    model = toy["Toy"]()
    with running(Running(pipeline="p")):
        loop.train("pretrain", model, toy["phases"], seed=17, checkpoint_seconds=1e9, shards=8)
    return model.state_dict()


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def test_what_gpus_share_is_computed_in_parts_to_the_bits_of_one_that_computes_all(script, tmp_path, monkeypatch):
    """Here they are CPUs: what a GPU computes of its parts is for it to show."""
    import runpy

    def divided(phase, model, optimizer, _kind, machine, seed, _count, ranks):
        return Divided(phase, model, optimizer, machine, seed, ranks)

    monkeypatch.setattr(loop, "Team", divided)
    alone = trained(runpy.run_path(str(TOY)))
    (out := tmp_path / "kept").mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), str(TOY), str(out)]
    done = subprocess.run([*command, "1e9", "-1", "divided"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(same(alone, torch.load(out / f"rank-{number}.pt")["model"]) for number in (0, 1))


def test_two_ranks_of_torchrun_give_the_bits_of_one(whole, script, tmp_path):
    (out := tmp_path / "kept").mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), str(TOY), str(out)]
    done = subprocess.run([*command, "1e9", "-1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(out / f"rank-{number}.pt") for number in (0, 1)]
    assert all(same(whole, rank["model"]) for rank in ranks)
    assert ranks[0]["workers"] == ranks[1]["workers"]


def test_a_rank_that_dies_ends_the_others_and_the_training_goes_on_with_one(whole, script, tmp_path, monkeypatch):
    (out := tmp_path / "kept").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(TOY), str(out), "0", "2"],
            env={**os.environ, "RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    told = [each.communicate()[1] for each in started]
    assert [each.returncode for each in started] == [1, -9], told
    assert "EnvironmentFault: another of the ranks that share this training ended" in told[0]
    assert Checkpoints(out).newest().phase == "all"

    import runpy

    toy = runpy.run_path(str(TOY))
    model = toy["Toy"]()
    with running(Running(pipeline="p", checkpoints=out)):
        loop.train("pretrain", model, toy["phases"], seed=17, checkpoint_seconds=1e9, shards=8)
    assert same(whole, model.state_dict())


@pytest.mark.parametrize(("count", "shards", "fix"), [(2, 1, "shards: 2"), (4, 2, "shards: 4"), (3, 4, "shards: 4")])
def test_ranks_that_do_not_fit_the_parts_are_refused(count, shards, fix):
    with pytest.raises(ConfigError, match=f"{count} ranks cannot share batches of {shards} parts") as refused:
        Ranks(0, count).require(replace(Machine.here(), shards=shards))
    assert refused.value.fix == fix
