"""A pipeline that names its candidates: dev rows choose, the gates ask the chosen one alone, and nobody else is trained again."""

from __future__ import annotations

import yaml
from everything import FLOOR, KEPT, configure
from workbench import told

from regraft.core import files

CANDIDATES = {"base": {"start": "base"}, "adapted": {"start": "adapted"}, "probe": {"finetune": {"method": "linear_probe"}}}
WITHHELD = {"few": {"finetune": {"epochs": 1}, "withhold": {"above_labels": 3}}}


def test_one_more_candidate_is_chosen_on_dev_rows_judged_on_test_rows_and_leaves_the_others_alone(ran, ask):
    root = ran.root
    configure(root, candidates={**CANDIDATES, **WITHHELD}, gates=[FLOOR, {"metric": "accuracy", "beats": "champion"}, *KEPT])
    due = {step["name"]: step["certain"] for step in ask(root, "plan", "tiny", "--json").json["steps"] if step["state"] != "fresh"}
    assert due == {"finetune-probe": True, "score-probe": True, "forgetting-probe": False}
    result = told(root, 0, "run", "tiny")
    assert result["candidate"]["name"] == "probe", (
        "16 dev rows tell an encoder of random weights from one that was fine-tuned for two epochs"
    )
    computed = {path.name for path in (root / "artifacts/tiny").iterdir() if ran.record(path.name)["run"] == result["run"]}
    assert computed == {"finetune-probe", "score-probe", "forgetting-probe"}

    evidence = root / "state/mlartifacts/tiny" / result["mlflow_run_id"] / "artifacts" / "evidence"
    assert sorted(path.stem for path in (evidence / "dev").iterdir()) == ["adapted", "base", "probe"]
    assert sorted(path.stem for path in (evidence / "predictions").iterdir()) == ["champion", "probe", "tfidf"], "the unchosen stay closed"
    decision = files.read_json(evidence / "decision.json")
    assert (decision["choose_on"], [(item["model"], item["code"]) for item in decision["withheld"]]) == ("dev", [("few", "above_labels")])
    story = ask(root, "explain", "tiny", "--json").json
    choice = story["verdict"]["findings"][0]
    assert (choice["gate"], choice["outcome"], choice["facts"]["model"]) == ("choice", "info", "probe")
    assert ask(root, "report", "tiny", "--out", "page.html").code == 0
    assert "cheapest first: probe" in (root / "page.html").read_text()

    steps = {step["name"]: step for step in ask(root, "plan", "tiny", "--json").json["steps"]}
    assert steps["forgetting-base"]["why"] == ["probe is chosen"]
    assert steps["finetune-few"]["why"][0].startswith("few is withheld: the rarest class has ")
    assert {step["state"] for step in steps.values()} == {"fresh"}
    configure_without = yaml.safe_load((root / "pipelines" / "tiny.yaml").read_text())
    del configure_without["candidates"]["adapted"]
    files.write_text(root / "pipelines" / "tiny.yaml", yaml.safe_dump(configure_without, sort_keys=False))
    fewer = ask(root, "plan", "tiny", "--json").json
    assert ({step["state"] for step in fewer["steps"]}, "pretrain" in {step["name"] for step in fewer["steps"]}) == ({"fresh"}, False)
    assert fewer["decision"].startswith("the candidates changed since")
