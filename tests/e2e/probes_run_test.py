"""Gates on changed texts decide a real run, both ways, and their evidence explains the verdict later."""

from __future__ import annotations

import pytest
from everything import CASES, GATES, configure, write_templates

ASKED = ("robustness", "counterfactual", "fairness", "templates")


def test_budgets_that_hold_pass_and_the_evidence_tells_the_same_later(ran, ask):
    root = ran.root
    assert ran.record("probes-base")["metrics"]["variants"] > 60, "31 rows and two tests, some terms, two pairs"
    (root / "artifacts").rename(root / "away")
    told = ask(root, "explain", "tiny", "--json")
    page = ask(root, "report", "tiny", "--out", "page.html")
    assert (told.code, page.code) == (0, 0), told.err + page.err
    findings = {finding["gate"]: finding for finding in told.json["verdict"]["findings"]}
    assert {name: findings[name]["outcome"] for name in ASKED} == dict.fromkeys(ASKED, "pass")
    assert all(findings[name]["low"] <= findings[name]["value"] <= findings[name]["high"] for name in ASKED)
    html = (root / "page.html").read_text()
    assert 'id="changed-texts"' in html
    assert "half = first" in html
    changed = ran.evidence / "probes.parquet"
    changed.write_bytes(changed.read_bytes()[:-1])
    broken = ask(root, "explain", "tiny")
    assert broken.code == 8
    assert "probes.parquet is changed since the decision was taken on it" in broken.err


def test_a_template_that_fails_fails_the_run_and_only_the_probes_run_again(refused):
    wrong = refused.finding("templates")
    assert wrong["outcome"] == "fail"
    assert "1 of 3 cases of the templates wrong, 33.3 % (an exact count), above the 0 % allowed" in wrong["sentence"]
    assert "; the impossible (1 of 1)." in wrong["sentence"]
    steps = [path.name for path in sorted((refused.root / "artifacts/tiny").iterdir())]
    assert [step for step in steps if refused.record(step)["run"] == refused.result["run"]] == ["probes-adapted", "probes-base"]


def test_what_so_few_rows_cannot_show_stays_open(refused):
    assert {refused.finding(gate)["outcome"] for gate in ("robustness", "counterfactual")} == {"inconclusive"}


@pytest.mark.parametrize(
    ("more", "tests", "says"),
    [
        ([{"fairness": {"groups": ["halv"], "max_gap": 0.1}}], [CASES], "did you mean 'half'?"),
        ([], [], "pipelines/tiny.templates.yaml"),
    ],
)
def test_faults_are_told_before_anything_runs(more, tests, says, ran, cli):
    write_templates(ran.root, *tests)
    configure(ran.root, gates=[*GATES, *more])
    said = cli("plan", "tiny")
    assert (said.code, says in said.err, "Traceback" in said.err) == (2, True, False), said.err
