"""The report of a real run: beside its evidence in MLflow, made anew by the command line, with a learning curve of labels."""

from __future__ import annotations

import sqlite3

from regraft.reports.label_curve import label_curve


def test_a_run_leaves_its_page_in_mlflow_and_names_it(everything):
    root, result, said = everything.root, everything.result, everything.out
    page = root / result["report"]
    assert page == root / f"state/mlartifacts/tiny/{result['mlflow_run_id']}/artifacts/report.html"
    assert f"report: {result['report']}" in said
    text = page.read_text()
    assert f"<title>PASS · {result['run']}</title>" in text
    assert "held-out" in text, "the curves of this run are not on its page"
    assert any(word in text for word in ("bloom", "pilot", "crust", "mulch")), "no text of a flipped row is on the page"
    with sqlite3.connect(f"file:{root}/state/prefect/prefect.db?mode=ro", uri=True) as database:
        ((summary,),) = database.execute("select data from artifact where key = 'verdict-tiny'").fetchall()
    assert f"/runs/{result['mlflow_run_id']}/artifacts/report.html" in summary


def test_the_command_line_makes_the_same_page_and_a_learning_curve(ran, ask, tmp_path):
    root, result = ran.root, ran.result
    (root / "artifacts").rename(root / "away")  # readers of past runs find everything in MLflow
    plain = ask(root, "report", "tiny", "--out", str(tmp_path / "plain.html"))
    done = ask(root, "report", result["run"], "--label-curve", "--json", "--out", str(tmp_path / "curve.html"))
    assert (plain.code, done.code) == (0, 0), plain.err + done.err
    assert result["run"] in (tmp_path / "plain.html").read_text()
    assert "In production as version 1 since " in (root / result["report"]).read_text()
    assert (tmp_path / "plain.html").read_text() == (root / result["report"]).read_text()
    document = done.json
    assert (document["schema"], document["outcome"]) == (5, "pass")
    assert document["label_curve"]["rows"][-1] == document["data"]["train"]
    assert [entry["action"] for entry in document["history"]] == ["register", "promote"]
    assert "Would more labels help?" in (tmp_path / "curve.html").read_text()


def test_more_labels_help_where_they_carry_news_and_not_where_they_do_not():
    words = {"a": "seed soil rose bean spade", "b": "tide keel rope mast crane"}
    rows = [
        {"id": f"r{n:03d}", "label": "ab"[n % 2], "text": " ".join([words["ab"[n % 2]].split()[n % 5], "the", f"w{n}"])} for n in range(400)
    ]
    columns = {name: [row[name] for row in rows] for name in ("id", "text", "label")}
    test = {name: values[200:] for name, values in columns.items()}
    train = {name: values[:200] for name, values in columns.items()}

    def curve(train):
        options = {"metric": "accuracy", "seed": 17, "trained_on": 1000, "max_ngram": 1, "inverse_regularization": 10.0}
        return label_curve(train, test, ["a", "b"], **options)

    found = curve(train)
    assert (found.rows[-1], found.kept, found.trained_on) == (200, 200, 1000)
    assert found.points[0].value < 0.9 < found.points[-1].value, "five words a class are learned from more rows"
    noise = curve({**train, "text": ["the same words everywhere"] * 200})
    assert noise.lead.low <= 0 <= noise.lead.high
