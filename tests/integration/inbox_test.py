"""``regraft handoff`` without a source: what is whole in an inbox counts once, what is not waits, and nothing there is changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from everything import configure

from regraft.core.errors import DataRejected
from regraft.core.workspace import Workspace
from regraft.data.handoff import checksums

ROW = "id,text,label\n{id},{text},garden\n"


@pytest.fixture
def inbox(tiny: Workspace, tmp_path: Path) -> Path:
    """The inbox of ``tiny``, where what has come is whole at once."""
    folder = tmp_path / "in"
    folder.mkdir()
    configure(tiny.root, inbox={"path": str(folder), "settle": "0s"})
    return folder


def seen(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def names(document: dict[str, Any], key: str = "drops") -> list[str]:
    return [each["name"] for each in document[key]]


def test_each_drop_counts_once_and_a_refused_one_is_told_once(inbox, tiny, cli):
    (inbox / "a.csv").write_text(ROW.format(id="n1", text="the first new row"))
    (inbox / "b").mkdir()
    (inbox / "b" / "rows.csv").write_text(ROW.format(id="n2", text="the second new row"))
    (inbox / "bad.csv").write_text("id,text\nn3,no label\n")
    (inbox / "notes.md").write_text("no data")
    (inbox / "half.csv.part").write_text("id,te")
    before = seen(inbox)
    told = cli("handoff", "tiny", "--no-commit", "--json")
    assert (told.code, sorted(names(told.json)), names(told.json, "waiting")) == (3, ["a.csv", "b", "bad.csv"], ["half.csv.part"])
    drops = {each["name"]: each for each in told.json["drops"]}  # type: ignore[attr-defined]
    assert sorted(drops[name]["version"] for name in ("a.csv", "b")) == [2, 3]
    assert "label" in drops["bad.csv"]["refused"]
    assert seen(inbox) == before

    again = cli("handoff", "tiny", "--no-commit", "--json")
    assert (again.code, names(again.json)) == (0, [])
    (inbox / "half.csv.part").unlink()
    assert "nothing new in the inbox" in cli("handoff", "tiny").out
    os.rename(inbox / "a.csv", inbox / "c.csv")
    renamed = cli("handoff", "tiny", "--no-commit", "--json").json
    assert [(each["name"], each["outcome"]) for each in renamed["drops"]] == [("c.csv", "already")]  # type: ignore[attr-defined]
    (inbox / "bad.csv").write_text(ROW.format(id="n3", text="the third new row"))
    mended = cli("handoff", "tiny", "--no-commit")
    assert (mended.code, "version 4" in mended.out) == (0, True)


def test_a_drop_waits_until_it_settles_or_its_checksums_agree(inbox, tiny, cli):
    configure(tiny.root, inbox={"path": str(inbox), "settle": "1h"})
    (inbox / "young.csv").write_text(ROW.format(id="n1", text="the first new row"))
    os.utime(inbox / "young.csv", (0, 0))
    folder = inbox / "summed"
    folder.mkdir()
    content = ROW.format(id="n2", text="the second new row").encode()
    (folder / "rows.csv").write_bytes(content[:20])
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  rows.csv\n{'0' * 64} *more.csv\n")
    told = cli("handoff", "tiny", "--no-commit", "--json").json
    why = {each["name"]: each["why"] for each in told["waiting"]}  # type: ignore[attr-defined]
    assert told["drops"] == []
    assert "not changed for 1h" in why["young.csv"]
    assert "summed is not whole yet, as SHA256SUMS says" in why["summed"]

    (folder / "rows.csv").write_bytes(content)
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  rows.csv\n")
    (inbox / "young.csv.sha256").write_text(f"{hashlib.sha256((inbox / 'young.csv').read_bytes()).hexdigest()}  young.csv\n")
    told = cli("handoff", "tiny", "--no-commit", "--json").json
    assert (sorted(names(told)), told["waiting"]) == (["summed", "young.csv"], [])

    configure(tiny.root, inbox={"path": str(inbox), "settle": "0s", "checksums": True})
    (inbox / "bare.csv").write_text(ROW.format(id="n4", text="the fourth new row"))
    (waits,) = cli("handoff", "tiny", "--json").json["waiting"]  # type: ignore[misc]
    assert "came without checksums" in waits["why"]


def test_a_drop_that_may_be_whole_or_a_part_names_the_command(inbox, tiny, cli):
    rows = [json.loads(line) for line in (tiny.root / "data/rows.jsonl").read_text().splitlines()]
    (inbox / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[: len(rows) // 2]))
    told = cli("handoff", "tiny")
    assert (told.code, f"regraft handoff tiny {inbox / 'half.jsonl'} --add" in told.out) == (3, True)


@pytest.mark.parametrize(
    ("options", "argv", "says"),
    [
        (None, [], "tiny has no inbox"),
        ({"path": "nowhere"}, [], "the inbox nowhere is not there"),
        ({"path": "."}, ["--add"], "are about one drop"),
    ],
)
def test_what_is_wrong_with_an_inbox_is_said(tiny, cli, options, argv, says):
    if options:
        configure(tiny.root, inbox=options)
    said = cli("handoff", "tiny", *argv)
    assert (said.code, says in said.err) == (2, True)


@pytest.mark.parametrize(
    "lines", ["{digest}  -\n", "{digest}  .\n", "{digest}  other.csv\n", "{zeros}  other.csv\n{digest}  ../in/a.csv\n"]
)
def test_a_checksum_beside_a_file_is_that_of_the_file(tmp_path, lines):
    drop = tmp_path / "a.csv"
    drop.write_text("x")
    sums = lines.format(digest=hashlib.sha256(b"x").hexdigest(), zeros="0" * 64)
    drop.with_name("a.csv.sha256").write_text(sums)
    checksums.require_agreement(drop, "a.csv")
    drop.write_text("y")
    with pytest.raises(DataRejected):
        checksums.require_agreement(drop, "a.csv")


def test_what_is_wrong_elsewhere_is_no_fault_of_a_drop(inbox, tiny, cli):
    contract = tiny.root / "pipelines/tiny.contract.yaml"
    whole = contract.read_text() if contract.is_file() else None
    contract.write_text("no: contract\n")
    (inbox / "a.csv").write_text(ROW.format(id="n1", text="the first new row"))
    told = cli("handoff", "tiny", "--no-commit", "--json")
    assert (names(told.json), names(told.json, "waiting")) == ([], ["a.csv"])
    contract.unlink() if whole is None else contract.write_text(whole)
    configure(tiny.root, data={"corpus": "data/nowhere.jsonl"})
    taken = cli("handoff", "tiny", "--no-commit", "--json").json
    assert [each["outcome"] for each in taken["drops"]] == ["accepted"]  # type: ignore[attr-defined]
