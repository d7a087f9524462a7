"""``regraft data forget``: rows are in no version, no cache, no remote and no page any more; whoever is killed in between is followed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from dying import do_and_die

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.data.made_ids import identified
from regraft.data.options import MADE_ID, TaskOptions
from regraft.data.rows import Row
from regraft.execution import dvc, dvc_formats
from regraft.production.data_store import DataStore
from regraft.production.forget import forget

FIRST = """id,text,label,author
p-1,a secret of mia about tulips,garden,mia
q-1,a row of somebody else,garden,ben
p-2,A secret of  MIA about tulips,garden,mia
"""
SECRET = "secret of mia"


@pytest.fixture
def handed(tiny: Workspace, tmp_path: Path, cli: Any) -> Workspace:
    """Version 2 has a row of mia and one of ben; version 3 has one more. A second row of mia is set aside. All of it is in a remote."""
    dvc.ask(tiny, "remote", "add", "-d", "far", str(tmp_path / "far"))
    (tiny.root / "first.csv").write_text(FIRST)
    (tiny.root / "second.csv").write_text("id,text,label\nr-1,a row that comes later,garden\n")
    for name in ("first.csv", "second.csv"):
        assert cli("handoff", "tiny", name, "--max-quarantined", "0.5", "--no-commit").code == 0
    return tiny


def of_text_id(text: str) -> str:
    """The id that is made of ``text``."""
    row = Row("", 1, {"text": text}, (), {})
    return str(next(iter(identified([row], TaskOptions.model_validate({"id": None})))).values[MADE_ID])


def holding(root: Path, text: str = SECRET) -> list[str]:
    """The files below ``root`` in which ``text`` stands."""
    import pyarrow.parquet as pq

    def stands_in(path: Path) -> bool:
        content = path.read_bytes()
        if content[:4] == b"PAR1":
            content = json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
        return text.encode().lower() in content.lower()

    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and stands_in(path))


def test_rows_go_out_of_versions_caches_remotes_and_pages(handed, cli, tmp_path):
    far = tmp_path / "far"
    assert len(holding(dvc_formats.cache_folder(handed))) == len(holding(far)) == 2
    for home, pipeline in ((far, "tiny"), (far, "other"), (handed.scratch, "tiny")):
        (checkpoint := home / "checkpoints" / pipeline / "pretrain/f/00000010").mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"weights")
    looked = cli("data", "forget", "tiny", "mia", "--column", "author", "--dry-run", "--json").json
    assert (looked["rows"], looked["quarantined"], [each["version"] for each in looked["versions"]]) == (1, 1, [2, 3])  # type: ignore[attr-defined]
    assert [line for line in looked["remains"] if "handed in and may have them: first.csv, second.csv;" in line]  # type: ignore[attr-defined]
    assert cli("data", "forget", "tiny", "mia", "--column", "author").code == 2, "nobody is there to ask"
    told = cli("data", "forget", "tiny", "mia", "--column", "author", "--reason", "she asked", "--yes", "--no-commit", "--json")
    assert told.code == 0, told.err
    assert (told.json["version"], told.json["purged"]["remotes"]) == (4, {"far": 3})  # type: ignore[index]
    assert holding(handed.root) == ["first.csv"], "what people handed in is theirs"
    assert holding(far) == []
    kept = [path.parents[3].name for home in (far, handed.scratch) for path in home.glob("checkpoints/*/*/*/*/model.safetensors")]
    assert kept == ["other"], "weights of a training that was cut have learned from those rows"
    rows = [json.loads(line) for line in (handed.root / "data/rows.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows[-2:]] == ["q-1", "r-1"]

    log = cli("data", "log", "tiny", "--json").json["versions"]
    assert [(line["number"], line["action"], line["purged"]) for line in log] == [  # type: ignore[attr-defined]
        (4, "forget", None), (3, "handoff", 4), (2, "handoff", 4), (1, "found", None),
    ]  # fmt: skip
    gone = cli("data", "revert", "tiny", "2")
    assert (gone.code, "forgotten in version 4" in gone.err) == (8, True)
    assert cli("data", "diff", "tiny/1", "tiny").code == 0
    assert "(forgotten)" in cli("quarantine", "list", "tiny").out
    back = cli("handoff", "tiny", "first.csv", "--no-commit")
    assert (back.code, "first.csv:2: is a row that was forgotten in version 4" in back.err) == (3, True)
    assert holding(handed.root) == ["first.csv"]
    nobody = cli("data", "forget", "tiny", "nobody", "--yes")
    assert (nobody.code, "no version of tiny's data and no quarantine has a row with id nobody" in nobody.err) == (2, True)


def computed(workspace: Workspace, far: Path, source: str, text: str) -> str:
    """The md5 of an object that a step made of ``source``, in the cache, the run cache and the remote."""
    cache, made = dvc_formats.cache_folder(workspace), workspace.root / "made.txt"
    made.write_text(text)
    md5 = str(dvc_formats.keep(cache, made)["md5"])
    made.unlink()
    stage = {"cmd": "a step", "deps": [{"path": "in", "md5": source}], "outs": [{"path": "out", "md5": md5}]}
    files.write_text(cache / "runs" / md5[:2] / md5 / source, json.dumps(stage))
    files.write_text(dvc_formats.object_path(far, md5), text)
    return md5


def test_a_remote_that_is_out_of_reach_is_named_and_tried_again(handed, cli, tmp_path):
    """What was computed is found again although the records that told it are gone, and a second forgetting loses nothing of the first."""
    far = tmp_path / "far"
    source = DataStore.of(handed, "tiny").history.version(2, "tiny").data["dvc"]["md5"]
    packed = computed(handed, far, source, "packed: mia about tulips")
    computed(handed, far, packed, "trained on mia about tulips")
    far.rename(tmp_path / "away")
    (tmp_path / "far").write_text("no folder")
    told = cli("data", "forget", "tiny", "p-1", "--yes", "--no-commit", "--json").json
    assert told["purged"]["remotes"] == {}, "a remote that nobody could look into is not clean"  # type: ignore[index]
    assert any(line.startswith("far: ") for line in told["remains"])  # type: ignore[attr-defined]
    assert cli("data", "forget", "tiny", "q-1", "--yes", "--no-commit").code == 0
    (tmp_path / "far").unlink()
    (tmp_path / "away").rename(tmp_path / "far")
    assert holding(tmp_path / "far", "mia about tulips")
    (handed.root / "third.csv").write_text("id,text,label\ns-1,a row of the third drop,garden\n")
    assert cli("handoff", "tiny", "third.csv", "--no-commit").code == 0
    assert holding(tmp_path / "far", "mia about tulips") == holding(tmp_path / "far", "a row of somebody else") == []
    assert not list(DataStore.of(handed, "tiny").folder.glob("forgetting*"))


def test_rows_that_were_forgotten_do_not_come_back_with_a_version_that_nobody_could_read(handed, cli, tmp_path):
    cache = dvc_formats.cache_folder(handed)
    md5 = DataStore.of(handed, "tiny").history.version(2, "tiny").data["dvc"]["md5"]
    away = [(dvc_formats.object_path(place, md5), tmp_path / str(number)) for number, place in enumerate((cache, tmp_path / "far"))]
    for path, hidden in away:
        path.rename(hidden)
    told = cli("data", "forget", "tiny", "p-1", "--yes", "--no-commit", "--json").json
    assert told["unread"] == [2]
    for path, hidden in away:
        hidden.rename(path)
    back = cli("data", "revert", "tiny", "2", "--no-commit", "--json")
    assert back.code == 0, back.err
    assert back.json["warnings"][0].startswith("1 row of version 2 was forgotten since and stays out: p-1.")  # type: ignore[index]
    assert "q-1" in (handed.root / "data/rows.jsonl").read_text()
    assert "p-1" not in (handed.root / "data/rows.jsonl").read_text()
    now = cli("data", "log", "tiny", "--json").json["versions"][0]  # type: ignore[index]
    assert now["data"]["rows"] == len((handed.root / "data/rows.jsonl").read_text().splitlines())


def test_rows_that_lie_in_a_quarantine_alone_are_forgotten(handed, cli):
    (handed.root / "bad.csv").write_text("id,text,label,author\n,a secret of zoe,garden,zoe\n")
    assert cli("handoff", "tiny", "bad.csv", "--no-commit").code == 3
    assert len(holding(handed.root, "secret of zoe")) > 1
    told = cli("data", "forget", "tiny", "zoe", "--column", "author", "--yes", "--no-commit", "--json")
    assert told.code == 0, told.err
    assert (told.json["rows"], told.json["quarantined"], told.json["versions"]) == (0, 1, [])  # type: ignore[index]
    assert holding(handed.root, "secret of zoe") == ["bad.csv"]


def test_a_row_of_a_refused_drop_is_forgotten_before_there_are_any_data(handed, cli):
    (handed.root / "pipelines/tiny.yaml").write_text(
        (handed.root / "pipelines/tiny.yaml").read_text().replace("data/rows.jsonl", "data/new.csv")
    )
    (handed.root / "bad.csv").write_text("id,text,label,author\n,a secret of zoe,garden,zoe\n")
    assert cli("handoff", "tiny", "bad.csv", "--no-commit").code == 3
    told = cli("data", "forget", "tiny", "zoe", "--column", "author", "--yes", "--no-commit")
    assert (told.code, "1 row in quarantine forgotten" in told.out) == (0, True), told.err
    assert holding(handed.root, "secret of zoe") == ["bad.csv"]
    (handed.root / "good.csv").write_text("id,text,label\nn-1,a new row,garden\n")
    assert cli("handoff", "tiny", "good.csv", "--no-commit").code == 0


def test_rows_are_forgotten_by_an_id_that_was_made_of_their_text(tiny, cli):
    """Every row with that text goes, as the next one would be called like the first that went."""
    pipeline = tiny.root / "pipelines/tiny.yaml"
    pipeline.write_text(pipeline.read_text().replace("data/rows.jsonl", "data/new.csv") + "task: {id: null}\n")
    files.write_text(tiny.root / "data/new.csv", "text,label\na secret of mia,garden\nanother,garden\na secret of mia,garden\n")
    key = of_text_id("a secret of mia")
    told = cli("data", "forget", "tiny", key, "--yes", "--no-commit", "--json")
    assert told.code == 0, told.err
    assert told.json["rows"] == 2  # type: ignore[index]
    assert (tiny.root / "data/new.csv").read_text() == "text,label\nanother,garden\n"
    (tiny.root / "drop.csv").write_text("text,label\na secret of mia,garden\n")
    assert "was forgotten" in cli("handoff", "tiny", "drop.csv", "--no-commit").err


def test_a_version_is_read_under_the_name_it_had(handed, cli):
    pipeline = handed.root / "pipelines/tiny.yaml"
    pipeline.write_text(pipeline.read_text().replace("data/rows.jsonl", "data/rows.csv"))
    (handed.root / "data/rows.csv").write_text("id,text,label\nn-1,a row of a table,garden\n")
    differs = cli("data", "diff", "tiny/2", "tiny/3", "--json")
    assert (differs.code, differs.json["added"]) == (0, 1), differs.err  # type: ignore[index]
    gone = cli("data", "revert", "tiny", "2")
    assert (gone.code, "version 2 is data/rows.jsonl, and data.labelled names data/rows.csv now" in gone.err) == (2, True)


def test_what_lies_about_goes_and_what_names_the_rows_is_named(handed, cli):
    inbox = DataStore.of(handed, "tiny").folder / "inbox" / "one.json"
    refused = {
        "name": "x",
        "signature": "x",
        "at": "x",
        "version": None,
        "refused": "x was refused:\n  x:2: repeats the row p-1 of this drop",
    }
    files.write_json(inbox, refused)
    lying = ("downloads/tiny-1/model/rows.txt", "embeddings/a/b.txt", "clones/tiny-gpu/data/rows.csv")
    for name in [f".regraft/{name}" for name in lying] + ["artifacts/tiny/contract/.partial/out/x.txt", "artifacts/tiny/splits/out/x.txt"]:
        files.write_text(handed.root / name, SECRET)
    listing = {"version": 1, "rounds": [{"at": "x", "by": "x", "run": None, "rows": None, "decisions": 1, "ids": ["p-1"]}]}
    files.write_json(handed.root / "pipelines/tiny.spent.json", listing)
    told = cli("data", "forget", "tiny", "mia", "--column", "author", "--yes", "--no-commit", "--json").json
    assert holding(handed.root) == ["first.csv"]
    assert told["purged"]["clones"] == [".regraft/clones/tiny-gpu"]  # type: ignore[index]
    assert "p-1" not in inbox.read_text()
    assert any(line.startswith("pipelines/tiny.spent.json lists p-1") for line in told["remains"])  # type: ignore[attr-defined]


def test_a_kill_at_any_write_leaves_the_old_data_or_the_new(tiny, cli):
    """One process dies at its first write, another a few writes later and so on, until one comes through."""
    (tiny.root / "first.csv").write_text(FIRST)
    assert cli("handoff", "tiny", "first.csv", "--max-quarantined", "0.5", "--no-commit").code == 0
    path = tiny.root / "data/rows.jsonl"
    old = path.read_text()
    for allowed in range(0, 400, 7):
        status = do_and_die(lambda: forget(tiny, "tiny", ["p-1"], commit=False), allowed)
        there = path.read_text()
        assert there == old or "p-1" not in there, f"after {allowed} writes"
        if not os.WIFSIGNALED(status):
            break
    store = DataStore.of(tiny, "tiny")
    with store.lease():  # whoever comes next finishes what the last one left
        pass
    assert allowed > 10, "nobody was killed"
    assert not list(store.folder.glob("forgetting*"))
    assert [version.action for version in store.history.versions()].count("forget") == 1
    assert [name for name in holding(tiny.root) if name.startswith((".dvc", "data", "state"))] == []
