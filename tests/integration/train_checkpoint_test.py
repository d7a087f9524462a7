from __future__ import annotations

import errno
import os
import re
import resource
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch

from regraft.core import progress
from regraft.core.cores import cores
from regraft.core.errors import EnvironmentFault, Interrupted
from regraft.core.files import read_json
from regraft.models.machine import Machine, Start, resume_on
from regraft.training.checkpoint import Checkpoints, broken, exclusive

MACHINE = Machine("cpu", "GenuineIntel AVX512 bf16", 2, "bf16", "2.13.0")


@pytest.fixture
def said(monkeypatch):
    """What was emitted."""
    events = []
    monkeypatch.setattr("regraft.training.checkpoint.emit", lambda event, **values: events.append((event, values.get("message"))))
    return events


def saved(folder, *steps):
    checkpoints = Checkpoints(folder, MACHINE)
    for step in steps:
        assert checkpoints.save(step, "all", {"before": 1.5}, {"model": {"w": torch.full((5,), float(step))}, "optimizer": {}})
    return checkpoints


def test_the_newest_checkpoint_comes_back_whole(tmp_path):
    found = saved(tmp_path, 3, 10).newest()
    assert (found.step, found.phase, found.notes) == (10, "all", {"before": 1.5})
    assert found.state["model"]["w"].tolist() == [10.0] * 5


def test_two_checkpoints_are_kept(tmp_path):
    saved(tmp_path, 1, 2, 3, 20, 100)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000020", "00000100"]


def test_the_manifest_lists_files_and_machine(tmp_path):
    saved(tmp_path, 4)
    manifest = read_json(tmp_path / "00000004" / "manifest.json")
    assert manifest["machine"] == MACHINE.facts()
    assert manifest["files"]["state.pt"]["size"] == (tmp_path / "00000004" / "state.pt").stat().st_size


def truncate(home):
    os.truncate(home / "state.pt", 100)


def flip(home):
    data = bytearray((home / "state.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (home / "state.pt").write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, r"state\.pt has 100 of [\d,]+ bytes"),
        (flip, r"state\.pt is not what was written \(sha256 differs\)"),
        (lambda home: (home / "state.pt").unlink(), r"state\.pt is missing"),
        (lambda home: (home / "manifest.json").unlink(), r"manifest\.json is missing"),
        (lambda home: (home / "manifest.json").write_text("{"), r"manifest\.json cannot be read"),
        (lambda home: (home / "manifest.json").write_text("[]"), r"manifest\.json cannot be read"),
        (lambda home: (home / "manifest.json").write_text('{"files": {}, "schema": 9}'), r"has schema 9, this version reads 1"),
    ],
)
def test_a_broken_checkpoint_is_named_and_the_one_before_it_used(tmp_path, said, damage, words):
    checkpoints = saved(tmp_path, 3, 10)
    damage(tmp_path / "00000010")
    assert checkpoints.newest().step == 3
    assert len(said) == 1
    event, message = said[0]
    assert event == "warning"
    assert re.search(f"checkpoint 10 is not whole: .*{words}", message)


def test_with_every_checkpoint_broken_each_is_named_and_none_used(tmp_path, said):
    checkpoints = saved(tmp_path, 3, 10)
    truncate(tmp_path / "00000003")
    truncate(tmp_path / "00000010")
    assert checkpoints.newest() is None
    assert [message.split(" is ")[0] for _, message in said] == ["checkpoint 10", "checkpoint 3"]


def needs_no_more_than_was_said(folder, said):
    """The one warning names the bytes of a checkpoint of 4 MB, and the one before it is whole."""
    assert [p.name for p in folder.iterdir()] == ["00000003"]
    assert not broken(folder / "00000003")
    ((event, message),) = said
    assert event == "warning"
    needed = int(re.match(r"the checkpoint of step 10 needs ([\d,]+) bytes: ", message)[1].replace(",", ""))
    assert 4_000_000 < needed < 4_010_000
    assert message.endswith("the one before it is kept")


LARGE = {"model": {"w": torch.zeros(1_000_000)}, "optimizer": {}}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_full_disk_keeps_the_checkpoint_before_it_and_names_the_bytes_needed(tmp_path, said):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        assert not saved(tmp_path, 3).save(10, "all", {}, LARGE)
        needs_no_more_than_was_said(tmp_path, said)
        assert "No space left on device" in said[0][1]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_limit_on_the_size_of_files_keeps_the_checkpoint_before_it_and_names_the_bytes_needed(tmp_path, said):
    checkpoints = saved(tmp_path, 3)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, former[1]))  # Python ignores SIGXFSZ
    try:
        assert not checkpoints.save(10, "all", {}, LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    needs_no_more_than_was_said(tmp_path, said)


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_failed_fsync_ends_the_step_and_is_never_a_warning(tmp_path, said, monkeypatch, which):
    checkpoints = saved(tmp_path, 3)
    fsync = os.fsync

    def failing(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode) == (which == "folder"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(EnvironmentFault, match="checkpoint of step 10 could not be written: Input/output error") as failed:
        checkpoints.save(10, "all", {}, LARGE)
    assert failed.value.fix == "regraft doctor"
    assert said == []
    assert Checkpoints(tmp_path).newest().step in {3, 10}


def test_the_seconds_of_training_are_kept(tmp_path):
    Checkpoints(tmp_path, MACHINE).save(3, "all", {}, {"model": {}, "optimizer": {}}, 12.5)
    assert Checkpoints(tmp_path).newest().seconds == 12.5


def test_what_a_killed_writer_left_is_removed(tmp_path):
    (tmp_path / ".partial-00000004").mkdir()
    (tmp_path / ".partial-00000004" / "state.pt").write_bytes(b"half")
    with exclusive(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == ["lock"]


HOLD = """
import sys, time
from pathlib import Path
from regraft.training.checkpoint import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_waits_naming_the_first_and_goes_on_when_that_is_killed(tmp_path, said):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    threading.Timer(0.5, holder.kill).start()
    started = time.monotonic()
    with exclusive(tmp_path):
        assert time.monotonic() - started >= 0.4
    holder.wait()
    assert said == [("waiting", f"another process is training here (pid {holder.pid})")]


def test_a_waiting_process_can_be_stopped(tmp_path, said):
    with exclusive(tmp_path):
        progress.STOP.set()
        try:
            with pytest.raises(Interrupted, match="stopped while waiting"), exclusive(tmp_path):
                raise AssertionError("the lock was held twice")
        finally:
            progress.STOP.clear()


def test_the_start_is_written_down_and_read_back(tmp_path):
    Checkpoints(tmp_path).begin(MACHINE, exact=False)
    assert Checkpoints(tmp_path).start() == Start(MACHINE, exact=False)
    assert Checkpoints(None).start() is None


def here(monkeypatch, machine):
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine))


def test_threads_of_the_first_start_are_used_again(monkeypatch):
    here(monkeypatch, replace(MACHINE, threads=16))
    assert resume_on(Start(MACHINE, True), continues=True, pipeline="p", allow_inexact=False) == (MACHINE, True)
    assert resume_on(Start(MACHINE, True), continues=False, pipeline="p", allow_inexact=False) == (MACHINE, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": "cuda"}, "device cpu then, cuda now"),
        ({"capability": "AuthenticAMD AVX2"}, "capability GenuineIntel AVX512 bf16 then, AuthenticAMD AVX2 now"),
        ({"precision": "fp32"}, "precision bf16 then, fp32 now"),
        ({"torch": "2.14.0"}, "torch 2.13.0 then, 2.14.0 now"),
    ],
)
def test_another_kind_of_machine_is_refused_by_name_or_recorded_as_inexact(monkeypatch, change, words):
    here(monkeypatch, replace(MACHINE, **change))
    with pytest.raises(EnvironmentFault, match=words) as refused:
        resume_on(Start(MACHINE, True), continues=True, pipeline="demo", allow_inexact=False)
    assert refused.value.exit_code == 8
    assert refused.value.fix == "regraft run demo --allow-inexact"
    elsewhere = Start(replace(MACHINE, threads=64), exact=True)  # threads that would not bring the bits back
    assert resume_on(elsewhere, continues=True, pipeline="demo", allow_inexact=True) == (Machine.here(), False)
    assert resume_on(Start(MACHINE, True), continues=False, pipeline="demo", allow_inexact=False) == (Machine.here(), True)


def test_a_run_that_was_inexact_once_stays_so(monkeypatch):
    here(monkeypatch, MACHINE)
    assert resume_on(Start(MACHINE, False), continues=True, pipeline="p", allow_inexact=False) == (MACHINE, False)


def test_cores_follow_the_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from regraft.core.cores import cores; print(cores())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == "1"
    assert cores() <= len(os.sched_getaffinity(0))
