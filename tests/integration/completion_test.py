"""Shell completion: as the shell calls it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regraft.cli import main

HEAVY = "{'torch', 'transformers', 'prefect', 'mlflow', 'pandas', 'great_expectations', 'sklearn', 'scipy', 'dvc', 'pyarrow'}"
CODE = (
    f"import sys, atexit\natexit.register(lambda: print('HEAVY', sorted({HEAVY} & set(sys.modules)), file=sys.stderr))\n"
    "sys.argv = ['regraft']\nfrom regraft.cli import main; main()"
)


def offered(words: str, cwd: Path) -> list[str]:
    """What bash is offered for the last of ``words``."""
    env = {**os.environ, "_REGRAFT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("HEAVY []\n")
    return done.stdout.split()


def test_verbs_pipelines_and_runs_are_offered_without_heavy_imports(tiny):
    log = tiny.log_file("tiny-20260101T000000-abcdef")
    log.parent.mkdir(parents=True)
    log.touch()
    (log.parent / "crash-20260101T000000.log").touch()
    assert offered("regraft his", tiny.root) == ["history"]
    assert offered("regraft predict ti", tiny.root) == ["tiny"]
    assert offered("regraft diff ", tiny.root) == ["tiny", "tiny-20260101T000000-abcdef"]


RUNS, PIPELINES = ["tiny", "tiny-20260101T000000-abcdef"], ["tiny"]
VERBS = {
    "report": RUNS, "compare": RUNS, "compare tiny": RUNS, "diff": RUNS, "diff tiny": RUNS, "explain": RUNS, "promote": RUNS,
    "card": PIPELINES, "card show": PIPELINES, "card verify": PIPELINES, "card write": PIPELINES, "rollback": PIPELINES,
    "history": PIPELINES, "plan": PIPELINES, "predict": PIPELINES, "run": PIPELINES, "status": PIPELINES,
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_about_a_run_or_a_pipeline_offers_their_names(verb, tiny, capfd, monkeypatch):
    log = tiny.log_file("tiny-20260101T000000-abcdef")
    log.parent.mkdir(parents=True)
    log.touch()
    for name, value in {
        "_REGRAFT_COMPLETE": "complete_bash",
        "COMP_WORDS": f"regraft {verb} ti",
        "COMP_CWORD": str(verb.count(" ") + 2),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["regraft"])
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().out.split() == VERBS[verb]


def test_outside_a_workspace_nothing_is_offered_and_nothing_breaks(tmp_path):
    assert offered("regraft run ", tmp_path) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_can_be_shown(shell, tmp_path):
    env = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    argv = [sys.executable, "-m", "regraft", "--show-completion", shell]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "_REGRAFT_COMPLETE=complete_" in done.stdout
