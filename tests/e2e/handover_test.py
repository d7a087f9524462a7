"""What two machines hand over: a step's inputs and outputs, its checkpoints, a commit; and which GPU a run has to itself."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from everything import configure
from services import until
from workbench import copy, regraft

from flows import job, lost_runs
from regraft.core import files, lock
from regraft.core.errors import ConfigError, EnvironmentFault, Interrupted
from regraft.core.workspace import Workspace
from regraft.execution import deployments, dvc, dvc_formats, gpu_slots, handover, patient_dvc
from regraft.execution.clones import clone_of
from regraft.execution.remote_checkpoints import mirrored
from regraft.execution.repro import Run
from regraft.registry.store import store_of


def share(root: Path, folder: Path) -> None:
    """A DVC remote and a store in ``folder`` for the workspace ``root``."""
    dvc.ask(Workspace(root), "remote", "add", "--default", "shared", str(folder / "dvc"))
    files.write_text(root / "regraft.yaml", f"version: 1\nstore: sqlite:///{folder}/store.db\n")


def reproduce(workspace: Workspace, step: str) -> None:
    """What a run does for one step, for as long as it takes."""
    argv = dvc.command("repro", "--quiet", "--single-item", f"{step}@tiny")
    subprocess.run(argv, cwd=workspace.root, env=dvc.environment(), check=True)


@pytest.fixture
def clones(tmp_path: Path, tiny: Workspace) -> tuple[Workspace, Workspace]:
    """Two clones with a store and a remote in common; the first has run `splits`, which `finetune-base` reads."""
    share(tiny.root, tmp_path)
    configure(tiny.root, adapt="never")
    assert regraft(tiny.root, "dvc").returncode == 0
    other = Workspace(copy(tiny.root, tmp_path / "other"))
    for step in ("contract", "splits"):
        reproduce(tiny, step)
    return tiny, other


def test_a_remote_in_s3_that_is_frozen_is_given_up_unless_it_says_how_long_to_wait(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    remotes = {"shared": "url = s3://bucket/shared", "slow": "url = s3://bucket/slow\nread_timeout = 600", "disk": "url = /mnt/dvc"}
    config = "[core]\nno_scm = True\n" + "".join(f"['remote \"{name}\"']\n{options}\n" for name, options in remotes.items())
    (tmp_path / ".dvc" / "config").write_text(config)
    argv = [sys.executable, "-m", "regraft.execution.patient_dvc", "config", "--list"]
    said = subprocess.run(argv, cwd=tmp_path, env=dvc.environment(), check=True, capture_output=True, text=True).stdout
    assert sorted(line for line in said.splitlines() if "_timeout" in line) == [
        "remote.shared.connect_timeout=10",
        "remote.shared.read_timeout=10",
        "remote.slow.connect_timeout=10",
        "remote.slow.read_timeout=600",
    ]
    known = patient_dvc.repository(str(tmp_path)).config["remote"]
    assert {name: remote.get("read_timeout") for name, remote in known.items()} == {"shared": 10, "slow": 600, "disk": None}
    assert (tmp_path / ".dvc" / "config").read_text() == config, "the file is theirs"


def test_inputs_and_outputs_of_a_step_travel_by_the_entries_of_dvc_lock(clones: tuple[Workspace, Workspace]) -> None:
    here, there = clones
    run = Run(here, "tiny", "tiny-1", lambda _: None, mlflow_run_id="m")
    request = handover.request_for(run, "finetune-base", 3)
    assert handover.answered(run, request) is None
    handover.ask(here, request)
    assert handover.requested(there, "tiny", "finetune-base", request.fingerprint) == request

    foreign = replace(request, fingerprint="f" * 64)
    handover.ask(here, foreign)
    refused = regraft(there.root, "work", "tiny", "finetune-base", "f" * 64)
    assert refused.returncode == 8, refused.stdout + refused.stderr
    fault = handover.refused(here, foreign)
    assert fault is not None
    assert f"is {request.fingerprint[:12]} here" in str(fault), "the same code and inputs are the same step"
    assert "and ffffffffffff where tiny-1 runs" in str(fault)
    assert "the commit that was deployed" in str(fault.fix)

    handover.take_inputs(there, request)
    assert files.tree(there.root / "artifacts/tiny/splits/out") == files.tree(here.root / "artifacts/tiny/splits/out")
    reproduce(there, "finetune-base")
    handover.answer(there, request)
    outcome = handover.answered(run, request)
    assert outcome is not None
    assert outcome.record["fingerprint"] == request.fingerprint
    assert files.tree(here.root / "artifacts/tiny/finetune-base/out") == files.tree(there.root / "artifacts/tiny/finetune-base/out")
    assert regraft(here.root, "status", "--json").stdout.count('"fresh"') == 3, "the step is fresh here, though it never ran here"

    told: list[dict[str, object]] = []
    handover.answer(there, foreign)
    assert handover.answered(Run(here, "tiny", "tiny-2", told.append), foreign) is None, "what another code computed is no answer"
    assert handover.OTHERWISE in str(told.pop()["message"])

    shutil.rmtree(here.root / ".dvc/cache")
    remote = there.root.parent / "dvc"
    remote.rename(remote.with_name("unmounted"))
    files.write_text(remote, "a file cannot be a remote")
    with pytest.raises(EnvironmentFault, match="`dvc pull"):
        handover.answered(run, request)
    assert store_of(here).values.get(f"{request.folder}/answer.json"), "a remote that does not answer has lost nothing"
    remote.unlink()
    remote.with_name("unmounted").rename(remote)

    for folder in (here.root / "artifacts/tiny/finetune-base", there.root.parent / "dvc"):
        shutil.rmtree(folder)
    assert handover.answered(Run(here, "tiny", "tiny-2", told.append), request) is None
    assert handover.CANNOT_PULL in str(told[0]["message"])


def test_what_a_step_raised_elsewhere_is_raised_here_and_being_stopped_is_no_answer(tmp_path: Path) -> None:
    files.write_text(tmp_path / "regraft.yaml", f"version: 1\nstore: sqlite:///{tmp_path}/store.db\n")
    here = Workspace(tmp_path)
    request = handover.Request("tiny", "finetune-base", "f" * 64, "tiny-1", 3, "m", (), "r" * 64, {})
    handover.refuse(here, request, Interrupted("stopped"))
    assert handover.refused(here, request) is None
    handover.refuse(here, request, EnvironmentFault("no memory", fix="buy some"))
    error = handover.refused(here, request)
    assert (type(error), str(error), error.fix if error else None) == (EnvironmentFault, "no memory", "buy some")
    handover.ask(here, request)
    assert handover.refused(here, request) is None, "who asks anew, hears no old error"
    store_of(here).values.put(f"{request.folder}/request.json", files.json_bytes({**asdict(request), "schema": 2, "new": "key"}))
    with pytest.raises(EnvironmentFault, match="is of schema 2, and this regraft reads 1"):
        handover.requested(here, "tiny", "finetune-base", "f" * 64)
    with pytest.raises(EnvironmentFault, match="holds no request for step 'score-base'"):
        handover.requested(here, "tiny", "score-base", "f" * 64)


def test_gpu_steps_elsewhere_need_a_store_and_a_remote_in_common(tiny: Workspace, tmp_path: Path) -> None:
    configure(tiny.root, agents={"gpu": "gpu"})
    with pytest.raises(ConfigError, match=r"agents\.gpu.* through a store") as fault:
        deployments.wanted(tiny, ["tiny"])
    assert "regraft.yaml" in str(fault.value.fix)
    files.write_text(tiny.root / "regraft.yaml", "version: 1\nstore: sqlite:///own.db\n")
    with pytest.raises(ConfigError, match=r"through a store, and this workspace's lies in sqlite:///.*own\.db"):
        deployments.wanted(tiny, ["tiny"])
    files.write_text(tiny.root / "regraft.yaml", f"version: 1\nstore: sqlite:///{tmp_path}/store.db\n")
    with pytest.raises(ConfigError, match="from a DVC remote, and this workspace has none"):
        deployments.wanted(tiny, ["tiny"])
    share(tiny.root, tmp_path)
    with pytest.raises(ConfigError, match=r"agents\.gpu of 'tiny' is 'gpu', --pool puts its runs into 'gpu'") as refused:
        deployments.wanted(tiny, ["tiny"], pool="gpu")
    assert "agents: {cpu: " in str(refused.value.fix)
    configure(tiny.root, agents={"gpu": "regraft"})
    with pytest.raises(ConfigError, match=r"agents\.gpu of 'tiny' is 'regraft', --pool puts its runs into 'other'"):
        deployments.wanted(tiny, ["tiny"], pool="other")
    configure(tiny.root, agents={"gpu": "gpu"}, inbox={"path": "inbox", "pool": "people"})
    assert {name: document["pool"] for name, document in deployments.wanted(tiny, ["tiny"]).items()} == {
        "tiny": "regraft",
        "tiny-gpu": "gpu",
        "tiny-inbox": "people",
    }


def test_a_run_holds_no_gpu_that_its_own_step_waits_for(tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu_slots.VARIABLE, "0")
    run, step = {"pipeline": "tiny"}, {"pipeline": "tiny", "step": "pretrain", "fingerprint": "f"}
    with job._sight(tiny, run) as alone:
        assert alone == {gpu_slots.VARIABLE: "0"}
    configure(tiny.root, agents={"gpu": "cards"})
    with job._sight(tiny, run) as handing_over, job._sight(tiny, step) as computing:
        assert (handing_over, computing) == ({gpu_slots.VARIABLE: ""}, {gpu_slots.VARIABLE: "0"})


def test_every_end_of_a_flow_is_known_to_whoever_waits_for_heartbeats() -> None:
    texts = "".join(path.read_text(encoding="utf8") for path in Path(job.__file__).parent.glob("*.py"))
    named = set(re.findall(r'Completed\((?:data=\w+, )?name="(\w+)"', texts))
    assert named >= {"Cached", "Unchanged", "NothingNew"}
    assert named <= set(lost_runs.ENDS)


def test_a_checkpoint_of_a_lost_machine_is_there_on_another_and_gone_when_the_step_is_done(tiny: Workspace, tmp_path: Path) -> None:
    share(tiny.root, tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    with contextlib.suppress(Interrupted), mirrored(tiny, one, "tiny/pretrain/f"):
        files.write_json(one / "start.json", {"machine": 1})
        for number in ("00000010", "00000020"):
            files.write_bytes(one / number / "state.pt", number.encode())
            files.write_json(one / number / "manifest.json", {})
        files.write_bytes(one / "00000030" / "state.pt", b"without a manifest it is not whole")
        raise Interrupted("stopped")
    with mirrored(tiny, two, "tiny/pretrain/f"):
        assert sorted(files.tree(two)) == ["00000020/manifest.json", "00000020/state.pt", "start.json"]
        assert (two / "00000020/state.pt").read_bytes() == b"00000020"
        assert list((tmp_path / "dvc/checkpoints").rglob("state.pt"))
    assert not list((tmp_path / "dvc/checkpoints").rglob("*.*"))


def git(folder: Path, *argv: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(["git", *who, *argv], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_an_agent_clones_the_commit_that_was_deployed_and_another_one_into_the_same_folder(tmp_path: Path, tiny: Workspace) -> None:
    bare, source = tmp_path / "bare.git", tiny.root
    files.write_text(source / "regraft.yaml", f"version: 1\nrepository: {bare}\n")
    files.write_text(source / ".gitignore", ".regraft/\nartifacts/\nstate/\n.dvc/tmp/\n.dvc/cache/\n.dvc/config.local\n__pycache__/\n")
    with pytest.raises(ConfigError, match="is in no git repository"):
        deployments.wanted(tiny, ["tiny"])
    git(tmp_path, "init", "-q", "--bare", str(bare))
    git(source, "init", "-q")
    git(source, "remote", "add", "origin", str(bare))
    commits = []
    for seed in (1, 2):
        configure(source, seed=seed)
        with pytest.raises(ConfigError, match="in no git repository" if not commits else "has changes that are in no commit"):
            deployments.wanted(tiny, ["tiny"])
        git(source, "add", ".")
        git(source, "commit", "-q", "-m", f"seed {seed}")
        with pytest.raises(ConfigError, match="was not pushed"):
            deployments.wanted(tiny, ["tiny"])
        git(source, "push", "-q", "origin", "HEAD:main")
        commits.append(git(source, "rev-parse", "HEAD"))
    assert deployments.wanted(tiny, ["tiny"])["tiny"]["source"] == {"repository": str(bare), "commit": commits[1]}
    shutil.copy(tiny.pipeline_file("tiny"), tiny.pipeline_file("second"))
    with pytest.raises(ConfigError, match=r"git does not know pipelines/second\.yaml"):
        deployments.wanted(tiny, ["tiny", "second"])
    tiny.pipeline_file("second").unlink()

    agent = Workspace(copy(source, tmp_path / "agent"))
    files.write_text(agent.root / ".dvc" / "config.local", "")
    (agent.root / ".dvc" / "config.local").chmod(0o600)
    for seed, commit in zip((1, 2), commits, strict=True):
        with clone_of(agent, "tiny", str(bare), commit) as clone:
            assert f"seed: {seed}" in (clone.root / "pipelines/tiny.yaml").read_text()
            assert dvc_formats.cache_folder(clone) == dvc_formats.cache_folder(agent)
            (clone.root / "artifacts").mkdir(exist_ok=True)
            files.write_text(clone.root / "dvc.lock", f"of seed {seed}\n")
        with clone_of(agent, "tiny", str(bare), commit) as clone:
            assert (clone.root / "dvc.lock").read_text() == f"of seed {seed}\n", "at the same commit what was computed stays computed"
            assert stat.S_IMODE((clone.root / ".dvc" / "config.local").stat().st_mode) == 0o600
    assert (clone.root / "artifacts").is_dir(), "what a run computed stays for the next"
    with pytest.raises(EnvironmentFault, match=r"`git fetch.*failed"), clone_of(agent, "other", str(tmp_path / "nowhere"), commits[0]):
        pass


def test_git_that_hangs_is_ended_and_named_and_ssh_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/options\nsleep 600\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{ssh} -i own_key")
    monkeypatch.setattr("regraft.execution.clones.FETCH_SECONDS", 3.0)
    agent = Workspace(tmp_path / "agent")
    with pytest.raises(EnvironmentFault, match="took longer than 3 s") as fault, clone_of(agent, "p", "ssh://secret@host/r", "0" * 40):
        pass
    assert "ssh://host/r" in str(fault.value)
    assert "secret" not in str(fault.value)
    assert (tmp_path / "options").read_text().startswith("-i own_key -oBatchMode=yes -oConnectTimeout=30 ")


KILLED = """
import os, signal, sys
from pathlib import Path
from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution.remote_checkpoints import mirrored
folder = Path(sys.argv[2])
with mirrored(Workspace(Path(sys.argv[1])), folder, "tiny/pretrain/f"):
    files.write_json(folder / "start.json", {})
    files.write_json(folder / "00000010" / "manifest.json", {})
    os.killpg(0, signal.SIGKILL)
"""


def test_a_step_that_is_killed_with_its_group_leaves_its_last_checkpoint_on_the_remote(tiny: Workspace, tmp_path: Path) -> None:
    share(tiny.root, tmp_path)
    argv = [sys.executable, "-c", KILLED, str(tiny.root), str(tmp_path / "one")]
    subprocess.run(argv, start_new_session=True, check=False, timeout=60)
    until(lambda: (tmp_path / "dvc/checkpoints/tiny/pretrain/f/00000010/manifest.json").is_file())
    assert (tmp_path / "dvc/checkpoints/tiny/pretrain/f/start.json").is_file()


HANDS_ON = """
import subprocess, sys
from pathlib import Path
from regraft.execution.gpu_slots import hold
with hold(("0",), folder=Path(sys.argv[1])):
    child = subprocess.Popen(["cat"], close_fds=False)
    print(child.pid, flush=True)
    child.wait()
"""


def test_a_gpu_is_held_until_the_run_has_ended_though_its_job_was_killed(tmp_path: Path) -> None:
    job = subprocess.Popen([sys.executable, "-c", HANDS_ON, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert job.stdout
    run = int(job.stdout.readline())
    job.kill()
    job.wait()
    assert lock.is_held(tmp_path / "0.lock")
    told: list[str] = []

    def tell(sentence: str) -> None:
        told.append(sentence)
        with contextlib.suppress(ProcessLookupError):
            os.kill(run, signal.SIGKILL)

    with gpu_slots.hold(("0",), 1, tmp_path, tell) as gpu:
        assert gpu == "0"
    assert told[0] == f"waits for a GPU of this machine: 0 is held by process {job.pid}"
    job.communicate()


HOLD = """
import sys
from pathlib import Path
from regraft.execution.gpu_slots import hold
with hold(("0", "1", "2"), int(sys.argv[2]), Path(sys.argv[1])) as gpu:
    print(gpu, flush=True)
    sys.stdin.read()
"""


def test_each_run_of_an_agent_has_a_gpu_to_itself_and_one_that_is_killed_gives_it_back(tmp_path: Path) -> None:
    def start(count: int = 1) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def gpu_of(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        return process.stdout.readline().strip()

    first, second = start(), start()
    gpus = [gpu_of(first), gpu_of(second)]
    both = start(2)  # holds none of them until there are two
    third = start()
    assert sorted([*gpus, gpu_of(third)]) == ["0", "1", "2"]
    third.kill()
    first.kill()
    assert gpu_of(both) == ",".join(sorted({"0", "1", "2"} - {gpus[1]}))
    for process in (first, second, third, both):
        process.communicate()


def test_a_run_for_which_no_agent_of_this_machine_can_have_gpus_enough_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="takes 2 GPUs, one a rank, and this machine shows 1"), gpu_slots.hold(("0",), 2, tmp_path):
        pass


@pytest.mark.parametrize(("visible", "expected"), [("0,2", ("0", "2")), ("GPU-8932f937", ("GPU-8932f937",)), ("", ()), ("-1", ())])
def test_the_gpus_of_an_agent_are_those_that_it_may_see(visible: str, expected: tuple[str, ...]) -> None:
    assert gpu_slots.gpus({gpu_slots.VARIABLE: visible}) == expected
