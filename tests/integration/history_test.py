"""``regraft history``: the champion at any moment, from the journal alone, and nothing from one that was tampered with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.registry.journal import Journal, Model
from regraft.registry.stores.folder import Folder
from regraft.reports.history import document, moment, until

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
RUNS = {version: f"tiny-2026010{version}T000000-abcdef" for version in (1, 2)}


def model(version: int) -> Model:
    return {"version": str(version), "digest": f"{version}" * 64}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Journal:
    """Version 1 promoted on 1 January, 2 on 2 January, rolled back on 3 January, each at 10:00 UTC."""
    journal = Journal(Folder(tmp_path_factory.mktemp("history")), "tiny")
    moves = [(1, "register", None, 1), (1, "promote", None, 1), (2, "register", None, 2), (2, "promote", 1, 2), (3, "rollback", 2, 1)]
    for seen, (day, action, before, version) in enumerate(moves):

        class Clock(datetime):
            @classmethod
            def now(cls, tz=None, day=day):
                return cls(2026, 1, day, 10, tzinfo=tz)

        was = model(before) if before else None
        reason = "wrong on invoices" if action == "rollback" else f"verdict PASS of {RUNS[version]}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("regraft.registry.journal.datetime", Clock)
            journal.append(seen, action, from_=was, to=model(version), run=RUNS[version], reason=reason, by="ada")
    return journal


@pytest.fixture
def told(written, tiny) -> Journal:
    """That journal in a workspace of one's own."""
    shutil.copytree(Path(written.where).parent, tiny.state / "journal")
    return Journal(Folder(tiny.state), "tiny")


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ("2025-12-31", None),
        ("2026-01-01", "1"),
        ("2026-01-01T09:59:59", None),
        ("2026-01-01T10:00:00", "1"),
        ("2026-01-02T10:30+01:00", "1"),
        ("2026-01-02T11:00:00+01:00", "2"),
        ("2026-01-02", "2"),
        ("2026-01-03T09:59", "2"),
        ("2026-01-03", "1"),
        (None, "1"),
    ],
)
def test_the_champion_of_any_moment_is_found(written, at, version):
    found = document("tiny", written.entries(), moment(at, "tiny", NOW) if at else None)
    assert (found["champion"] or {"version": None})["version"] == version


def test_a_moment_is_answered_with_the_entries_up_to_then(told, cli):
    said = cli("history", "tiny", "--at", "2026-01-02T09:00", "--json").json
    assert (said["champion"]["version"], [e["seq"] for e in said["entries"]], said["at"]) == ("1", [1, 2], "2026-01-02T09:00:00+00:00")


def test_history_as_json_has_the_entries_under_the_names_of_their_files_and_the_hash_of_the_head(told, cli):
    said = cli("history", "tiny", "--json").json
    assert set(said) == {"schema", "pipeline", "at", "champion", "head", "entries"}
    last = Path(told.where) / "00000005.json"
    assert said["head"] == {"seq": 5, "sha256": files.sha256_file(last), "witnessed": True}
    written = json.loads(last.read_text())
    assert {key: said["entries"][-1][key] for key in written if key != "schema"} == {k: v for k, v in written.items() if k != "schema"}


def test_the_terminal_tells_what_happened_by_whom_and_why(told, cli):
    lines = cli("history", "tiny").out.splitlines()
    assert lines[0] == "tiny  champion version 1 (111111111111) since 2026-01-03 10:00"
    assert "5  2026-01-03 10:00  rolled back 2 to 1  ada  wrong on invoices" in "\n".join(lines)
    assert any(RUNS[2] in line for line in lines)


def test_a_newest_entry_that_nothing_vouches_for_is_said_to_be_one(told, cli):
    assert "vouches" not in cli("history", "tiny").out
    (Path(told.where).parent / ".tiny.head").unlink()
    assert "nothing vouches for the last one yet" in cli("history", "tiny").out
    assert cli("history", "tiny", "--json").json["head"]["witnessed"] is False


def test_a_moment_before_the_first_champion_has_none(told, cli):
    assert "at 2025-06-01 23:59:59 UTC: no champion" in cli("history", "tiny", "--at", "2025-06-01").out


@pytest.mark.parametrize(("number", "at"), [(1, ()), (3, ("--at", "2026-01-01")), (5, ())])
def test_an_edited_entry_is_named_and_no_question_is_answered(told, cli, number, at):
    path = Path(told.where) / f"{number:08d}.json"
    path.write_text(path.read_text().replace('"by": "ada"', '"by": "eve"'))
    said = cli("history", "tiny", *at)
    assert (said.code, said.out) == (8, "")
    assert f"entry {number} was edited after it was written: {path}" in said.err
    (error,) = cli("history", "tiny", *at, "--json").json["errors"]
    assert (error["file"], error["rule"]) == (str(path), "chain")
    assert error["fix"].startswith("restore")


@pytest.mark.parametrize("number", [2, 5])
def test_a_removed_entry_is_named(told, cli, number):
    path = Path(told.where) / f"{number:08d}.json"
    path.unlink()
    said = cli("history", "tiny")
    assert (said.code, f"entry {number} is missing: {path}" in said.err) == (8, True)


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        ("history nope", 2, "no pipeline 'nope'"),
        ("history ../tiny", 2, "no pipeline '../tiny'"),
        ("history tiny", 0, "tiny  no champion"),
        ("history tiny --at yesterday", 2, "--at 'yesterday' is not a date"),
        ("history tiny --at 2026-02-30", 2, "is not a date"),
        ("history tiny --at 2999-01-01", 2, "lies in the future"),
        ("history tiny --at", 2, "requires an argument"),
    ],
)
def test_history_says_what_is_wrong(argv, code, text, cli, tiny):
    said = cli(*argv.split())
    assert (said.code, text in said.out + said.err) == (code, True), said
    assert "Traceback" not in said.out + said.err


def test_a_pipeline_whose_file_is_gone_keeps_its_history(told, cli, tiny):
    tiny.pipeline_file("tiny").unlink()
    assert cli("history", "tiny", "--json").json["champion"]["version"] == "1"


def test_a_day_ends_at_midnight_utc_and_today_ends_now():
    assert moment("2026-03-04", "p", NOW) == datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)
    assert moment("2026-03-05", "p", NOW) == NOW
    with pytest.raises(ConfigError, match="future"):
        moment("2026-03-05T12:01", "p", NOW)


def test_history_imports_no_mlflow(told, tiny):
    code = (
        "import sys, atexit\nsys.argv = ['regraft', 'history', 'tiny']\n"
        "atexit.register(lambda: print(sorted({'mlflow', 'torch', 'pandas', 'dvc', 'prefect'} & set(sys.modules))))\n"
        "from regraft.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(tiny.root), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_an_entry_of_a_clock_that_was_ahead_does_not_hide_the_ones_before_the_next(tmp_path):
    journal = Journal(Folder(tmp_path), "tiny")
    entries = [
        replace(journal.append(seen, "register", from_=None, to={"version": str(seen), "digest": "d"}, run="r", reason=""), at=at)
        for seen, at in enumerate(("2026-01-01T00:00:00+00:00", "2030-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"))
    ]
    noon = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in (1, 2)]
    assert [[entry.seq for entry in until(entries, at)] for at in noon] == [[1], [1, 2, 3]]
