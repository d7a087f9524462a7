"""A gate of another package in a whole run: plan, decision, explain, report and compare, with no file of regraft changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from everything import FLOOR, KEPT, Ran, configure
from gate_package import install
from workbench import regraft, told


@pytest.mark.release("unit/gate_plugin_test.py decides, tells, shows and plans it")
def test_a_gate_of_an_installed_package_goes_all_the_way(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install(tmp_path / "site")))
    root = ran.root
    configure(root, gates=[FLOOR, {"label_noise": {"max": 0.9}}, *KEPT])
    assert "gates changed" in regraft(root, "plan", "tiny").stdout
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    story = told(root, 0, "explain", "tiny")
    (finding,) = [finding for finding in story["verdict"]["findings"] if finding["gate"] == "label_noise"]
    assert finding["outcome"] == "pass"
    assert any("test rows are probably wrong: " in sentence for sentence in story["sentences"])
    assert "Are the labels right?" in [section["title"] for section in told(root, 0, "report", "tiny")["sections"]]
    assert regraft(root, "compare", "tiny", "tiny@champion").returncode == 0
