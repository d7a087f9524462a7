"""``regraft handoff`` in a workspace: versions, git, DVC, kills, two at once, and what a refused drop leaves."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dying import do_and_die
from everything import configure

from regraft.core import lock
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats
from regraft.execution.resolve import resolve, write_resolved
from regraft.production import closer_look
from regraft.production.data_store import DataStore
from regraft.production.handoff import hand_in

Rows = list[dict[str, Any]]


@pytest.fixture
def repo(tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The tiny workspace in git, as ``regraft init`` and a first commit leave one."""
    for name, value in {"GIT_AUTHOR_NAME": "d", "GIT_AUTHOR_EMAIL": "d@x", "GIT_COMMITTER_NAME": "d", "GIT_COMMITTER_EMAIL": "d@x"}.items():
        monkeypatch.setenv(name, value)
    (tiny.root / ".gitignore").write_text("/artifacts/\n/state/\n/.regraft/\n/data/\n")
    for argv in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *argv], cwd=tiny.root, check=True)
    return tiny


def data(workspace: Workspace) -> Rows:
    return [json.loads(line) for line in (workspace.root / "data/rows.jsonl").read_text().splitlines()]


def write(path: Path, rows: Rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def edited(rows: Rows) -> Rows:
    """3 with another text, 2 with another label, 1 gone."""
    rows = [dict(row) for row in rows]
    for row in rows[:3]:
        row["text"] += " edited"
    for row in rows[10:12]:
        row["label"] = "kitchen"
    return rows[:50] + rows[51:]


def git(workspace: Workspace, *argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=workspace.root, check=True, capture_output=True, text=True).stdout


def test_a_drop_becomes_a_version_that_says_what_changed(repo, cli):
    (repo.root / "stray.txt").write_text("not of this")
    git(repo, "add", "stray.txt")
    expected = edited(data(repo))
    name = write(repo.root / "drop.jsonl", expected)
    before = (repo.root / name).read_bytes()
    said = cli("handoff", "tiny", name, "--by", "mia", "--json")
    told = said.json
    assert (said.code, told["outcome"], told["version"]) == (0, "accepted", 2)
    assert (told["read"], told["accepted"], told["quarantined"]) == (119, 119, 0)
    diff = told["diff"]
    assert isinstance(diff, dict)
    assert {kind: diff[kind] for kind in ("added", "removed", "edited", "relabelled")} == {
        "added": 0,
        "removed": 1,
        "edited": 3,
        "relabelled": 2,
    }
    assert (data(repo), (repo.root / name).read_bytes()) == (expected, before)
    log = git(repo, "log", "-1", "--format=%B")
    assert log.startswith("data(tiny): 1 row removed, 3 with another text, 2 with another label\n")
    assert "garden -> kitchen: 2" in log
    assert "by mia" in log
    assert git(repo, "show", "--name-only", "--format=", "HEAD").split() == ["data.dvc"]
    assert git(repo, "diff", "--cached", "--name-only").split() == ["stray.txt"], "what somebody else staged stays staged"
    page = (repo.root / str(told["page"])).read_text()
    assert "119 of 119 rows taken in" in page
    assert "://" not in page
    card = (repo.root / str(told["card"])).read_text()
    assert card.startswith("---\npretty_name: tiny\n")

    again = cli("handoff", "tiny", name)
    assert again.code == 0
    assert "this drop is version 2 already" in again.out
    renamed = (repo.root / name).rename(repo.root / "other.jsonl")
    assert cli("handoff", "tiny", renamed.name, "--json").json["outcome"] == "already"


def test_rows_to_look_at_are_taken_in_and_told(tiny, cli):
    rows = data(tiny)
    store = DataStore.of(tiny, "tiny")
    splits = closer_look.split_by(store)
    test = next(row for row in rows if splits(row) == "test")
    train = next(key for key in map("n{}".format, range(99)) if splits({"id": key}) == "train")
    new = next(key for key in map("m{}".format, range(99)) if splits({"id": key}) == "test")
    document = json.loads((tiny.root / "data/corpus.jsonl").read_text().splitlines()[0])["text"]
    drop = [{**test, "id": train, "text": test["text"] + " x"}, {"id": new, "text": document[:60], "label": "garden"}]
    drop += [{"id": f"{train}-{twice}", "text": f"{twice} in den KÃ¼bel", "label": "garden"} for twice in ("Rosen", "Tulpen und Farn")]
    told = cli("handoff", "tiny", write(tiny.root / "drop.jsonl", drop), "--no-commit", "--json").json
    assert told["accepted"] == 4
    warnings = "\n".join(told["warnings"])  # type: ignore[arg-type]
    assert f"nearly repeats a row that is held out, so runs leave it out of training: {train} ({test['id']}, " in warnings
    assert re.search(rf"of the corpus holds? .*new test row.*: {new} \(data/corpus\.jsonl:\d", warnings), warnings
    page = (tiny.root / str(told["page"])).read_text()
    assert "Rows that are nearly the same" in page
    misread = f"2 rows look as if read in a wrong encoding and saved so, such as 'KÃ¼bel' for 'Kübel' ({train}-Rosen)"
    assert misread in warnings
    assert misread in html.unescape(page)
    assert "KÃ¼bel" in (tiny.root / "data/rows.jsonl").read_text(), "it is told, and never repaired"


def test_a_refused_drop_changes_nothing_and_keeps_its_page(repo, cli):
    before, head = data(repo), git(repo, "rev-parse", "HEAD")
    name = write(repo.root / "drop.jsonl", [{"id": f"n{n}", "text": "" if n else "one new row", "label": "garden"} for n in range(3)])
    said = cli("handoff", "tiny", name)
    assert said.code == 3
    assert "2 of 3 rows (67 %) are set aside; above 10 % the drop, not a row, is what is wrong" in said.err
    told = cli("handoff", "tiny", name, "--json").json
    assert (told["exit"], told["outcome"], told["quarantined"]) == (3, "refused", 2)
    errors = told["errors"]
    assert isinstance(errors, list)
    assert errors[0]["rule"] == "drop.quarantined"
    assert f"next: correct the rows that {told['quarantine']} lists, and hand the drop in again" in said.err
    assert "drop.jsonl,1," not in (repo.root / str(told["quarantine"])).read_text()
    assert "The drop was refused" in (repo.root / str(told["page"])).read_text()
    assert (data(repo), git(repo, "rev-parse", "HEAD")) == (before, head)


def test_a_drop_that_cannot_be_read_has_a_page_that_says_what_to_do(tiny, cli):
    (tiny.root / "drop.csv").write_bytes("id,text,label\n1,<b>café</b>,garden\n".encode("cp1252"))
    said = cli("handoff", "tiny", "drop.csv")
    assert said.code == 3
    (path,) = (DataStore.of(tiny, "tiny").folder / "refused").glob("*/handoff.html")
    assert f"the same as a page, for whoever made the file: {tiny.relative(path)}" in said.err
    page = path.read_text()
    assert "iconv -f cp1252" in html.unescape(page)
    assert "<b>" not in page
    assert "://" not in page
    assert "drop.csv:2: not UTF-8" in said.err
    again = cli("handoff", "tiny", "drop.csv", "--json").json
    assert [problem["rule"] for problem in again["errors"]] == ["file.utf8"]  # type: ignore[index, attr-defined]
    assert cli("handoff", "tiny", "nowhere.csv").code == 3
    assert len(list((DataStore.of(tiny, "tiny").folder / "refused").iterdir())) == 1, "of what is not there there is no page"


def test_without_commit_git_is_left_alone(repo, cli):
    head = git(repo, "rev-parse", "HEAD")
    name = write(repo.root / "drop.jsonl", [{"id": "n", "text": "one new row", "label": "garden"}])
    assert cli("handoff", "tiny", name, "--no-commit", "--json").json["commit"] is None
    assert git(repo, "rev-parse", "HEAD") == head
    assert (repo.root / "data.dvc").is_file()


@pytest.mark.parametrize(("argv", "code", "text"), [
    (["nope", "x.csv"], 2, "no pipeline 'nope'"),
    (["tiny", "nowhere.csv"], 3, "nowhere.csv is not there"),
    (["tiny", "drop.doc"], 3, "the drop reads .csv, .tsv, .jsonl, .json (each also as .gz) and .parquet, .xlsx, .zip"),
    (["tiny", "x.csv", "--add", "--replace"], 2, "exclude one another"),
])  # fmt: skip
def test_what_cannot_be_handed_in_is_said(tiny, cli, argv, code, text):
    (tiny.root / "drop.doc").write_text("x")
    said = cli("handoff", *argv)
    assert (said.code, text in said.err) == (code, True), said.err


def test_data_of_several_places_take_no_drop(tiny, cli):
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text().replace("data/rows.jsonl", "[data/rows.jsonl, data/more.jsonl]"))
    said = cli("handoff", "tiny", "x.csv")
    assert (said.code, "names several paths" in said.err) == (2, True)


def test_the_second_handoff_waits_or_says_who_holds_the_data(tiny, cli):
    handle = lock.open_lock(tiny.scratch / "locks" / "tiny.data.lock")
    lock.take(handle)
    lock.sign(handle)
    try:
        said = cli("handoff", "tiny", "x.csv", "--no-wait")
        assert (said.code, f"are being changed by process {os.getpid()}" in said.err) == (7, True)
    finally:
        os.close(handle)


def test_the_second_handoff_says_whom_it_waits_for_and_goes_on(tiny, cli, capfd):
    write(tiny.root / "drop.jsonl", [{"id": "n", "text": "one new row", "label": "garden"}])
    store = DataStore.of(tiny, "tiny")
    with ThreadPoolExecutor(1) as pool:
        with store.lease():
            second = pool.submit(hand_in, tiny, "tiny", "drop.jsonl", commit=False)
            said = ""
            while f"being changed by process {os.getpid()}; waiting for it" not in said:
                said += capfd.readouterr().err
                assert not second.done()
        assert second.result().outcome == "accepted"


def test_a_source_that_changes_after_it_was_read_is_not_taken_in(tiny, cli, monkeypatch):
    old, path = data(tiny), tiny.root / "drop.jsonl"
    write(path, [{"id": "n", "text": "one new row", "label": "garden"}])
    look = closer_look.look

    def look_while_somebody_writes(*args: Any) -> Any:
        path.write_text(path.read_text().replace("garden", "kitchen"))
        return look(*args)

    monkeypatch.setattr(closer_look, "look", look_while_somebody_writes)
    said = cli("handoff", "tiny", "drop.jsonl", "--no-commit")
    assert (said.code, "drop.jsonl changed while it was read; nothing was taken in" in said.err) == (7, True)
    assert (data(tiny), [version.number for version in DataStore.of(tiny, "tiny").history.versions()]) == (old, [1])


def test_test_rows_win_where_a_column_says_which_they_are(tiny, cli):
    splits = ["train", "dev", "test"]
    rows = [{**row, "fold": splits[n % 3]} for n, row in enumerate(data(tiny))]
    write(tiny.root / "data" / "rows.jsonl", rows)
    configure(tiny.root, data={"split": "fold"})
    drop = [{**rows[2], "id": "n1", "fold": "train"}, {**rows[0], "id": "n2", "fold": "test"}, {**rows[3], "id": "n3"}]
    said = cli("handoff", "tiny", write(tiny.root / "drop.jsonl", drop), "--max-quarantined", "1", "--no-commit", "--json").json
    assert said["by_rule"] == {"text.contamination": 1, "text.duplicate": 1}
    assert f"1 held-out row repeats a training row, which runs leave out from now on: n2 ({rows[0]['id']})" in said["warnings"]


def test_rows_of_a_folder_keep_their_files_and_new_ones_get_their_own(tiny, cli):
    rows, folder = data(tiny), tiny.root / "data" / "labelled"
    (folder / "old").mkdir(parents=True)
    write(folder / "a.jsonl", rows[:60])
    write(folder / "old" / "b.jsonl", rows[60:])
    (folder / "notes.md").write_text("ours")
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text().replace("data/rows.jsonl", "data/labelled"))
    drop = [{**rows[0], "label": "harbour"}, {"id": "n", "text": "one new row", "label": "garden"}]
    told = cli("handoff", "tiny", write(tiny.root / "drop.jsonl", drop), "--json").json
    assert told["version"] == 2
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert sorted(found) == ["a.jsonl", "handoff-00000002.jsonl", "notes.md", "old/b.jsonl"]
    assert json.loads(found["a.jsonl"].read_text().splitlines()[0])["label"] == "harbour"
    assert json.loads(found["handoff-00000002.jsonl"].read_text())["id"] == "n"


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_kill_at_any_write_leaves_the_old_version_or_the_new_one(tiny, place):
    """One process dies at its first write, the next at its second and so on, until one comes through: each goes on from what lies there."""
    import great_expectations.render.renderer.page_renderer  # noqa: F401

    where = tiny.root / "data" / "rows.jsonl"
    old = data(tiny)
    if place == "folder":
        path = tiny.pipeline_file("tiny")
        path.write_text(path.read_text().replace("data/rows.jsonl", "data/labelled"))
        (tiny.root / "data" / "labelled").mkdir()
        where = where.rename(tiny.root / "data" / "labelled" / "rows.jsonl")
    new = edited(old)
    write(tiny.root / "drop.jsonl", new)
    for allowed in range(200):
        status = do_and_die(lambda: hand_in(tiny, "tiny", "drop.jsonl", commit=False), allowed)
        there = [json.loads(line) for line in where.read_text().splitlines()]
        assert there in (old, new), f"after {allowed} writes"
        if status == 0:
            break
        assert os.WIFSIGNALED(status), "it failed by itself"
    assert allowed > 10, "nobody was killed"
    assert there == new
    store = DataStore.of(tiny, "tiny")
    assert [version.number for version in store.history.versions()] == [1, 2]
    assert sorted(path.name for path in store.folder.iterdir()) == ["00000001", "00000002"]
    assert [path.name for path in (tiny.root / "data").iterdir() if "regraft-new" in path.name] == []


def test_bytes_that_cannot_be_kept_take_nothing_in(tiny, cli, monkeypatch):
    old = data(tiny)
    write(tiny.root / "drop.jsonl", edited(old))

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("regraft.data.quarantine.TableWriter.write", full)
    monkeypatch.setattr("regraft.data.quarantine.TableWriter.__enter__", full)
    said = cli("handoff", "tiny", "drop.jsonl")
    assert said.code == 8
    assert data(tiny) == old


def test_what_gc_frees_is_no_version(tiny, cli):
    from regraft.upkeep.gc import dvc_cache

    cli("handoff", "tiny", write(tiny.root / "drop.jsonl", [{"id": "n", "text": "one new row", "label": "garden"}]))
    versions = DataStore.of(tiny, "tiny").history.versions()
    named = set(dvc_cache._in_workspace(tiny))
    assert {version.data["dvc"]["md5"] for version in versions} <= named
    cache = dvc_formats.cache_folder(tiny)
    assert all(dvc_formats.object_path(cache, version.data["dvc"]["md5"]).is_file() for version in versions)


def test_rows_without_ids_are_known_by_their_text(tiny, cli):
    from regraft.data.options import MADE_ID

    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + "task: {id: null}\n")
    old = [{name: row[name] for name in ("text", "label")} for row in data(tiny)]
    write(tiny.root / "data" / "rows.jsonl", old)
    drop = [{**old[0], "label": "harbour"}, {"text": "one new row", "label": "garden"}]
    told = cli("handoff", "tiny", write(tiny.root / "drop.jsonl", drop), "--no-commit", "--json").json
    assert isinstance(told["diff"], dict)
    assert (told["accepted"], told["diff"]["added"], told["diff"]["relabelled"]) == (2, 1, 1)
    assert data(tiny) == [{**old[0], "label": "harbour"}, *old[1:], {"text": "one new row", "label": "garden"}]
    assert MADE_ID not in (tiny.root / "data" / "rows.jsonl").read_text()


def test_a_rule_about_tokens_counts_those_of_the_base_model_in_drops_and_in_runs(tiny, cli):
    assert "base_digest" not in resolve(tiny, "tiny")["contract"]
    drafted = cli("contract", "infer", "data/rows.jsonl", "--pipeline", "tiny").out
    spoken, counted = (
        "severity: warn, implementation: {rule: language, any_of: [en]}",
        "severity: quarantine, implementation: {rule: tokens, at_most: 40}",
    )
    assert spoken in drafted
    (tiny.root / "pipelines/tiny.contract.yaml").write_text(drafted.replace(spoken, counted).replace("maxLength: 72", "maxLength: 9000"))
    assert resolve(tiny, "tiny")["contract"]["base_digest"] == resolve(tiny, "tiny")["tokens"]["base_digest"]
    long = {"id": "long", "text": " ".join(row["text"] for row in data(tiny)[:20]), "label": "garden"}
    name = write(tiny.root / "drop.jsonl", [*data(tiny), long])
    told = cli("handoff", "tiny", name, "--json").json
    assert (told["accepted"], told["by_rule"]) == (120, {"text.max_tokens": 1})
    write(tiny.root / "data/rows.jsonl", [*data(tiny), long])
    write_resolved(tiny, "tiny")
    assert cli("step", "contract", "--pipeline", "tiny", "--step-version", "1").code == 0
    sheet = (tiny.artifacts("tiny", "contract") / "evidence" / "quarantine.csv").read_text()
    assert "text has more than 40 tokens" in sheet
