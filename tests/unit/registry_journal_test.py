"""The journal: compare-and-swap, hash chain, and what follows from a list of entries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regraft.core.errors import Conflict, EnvironmentFault
from regraft.registry.journal import Entry, Journal, Model, challenger_of, champion_of, previous_of, rolled_back, whoami
from regraft.registry.lease import lease
from regraft.registry.stores.folder import Folder


def model(version: int) -> Model:
    return {"version": str(version), "digest": f"digest-{version}"}


def history(tmp_path: Path, *moves: tuple[str, int]) -> list[Entry]:
    """A journal in which the named actions happened to the named versions, oldest first."""
    journal = Journal(Folder(tmp_path), "demo")
    now: Model | None = None
    for seen, (action, version) in enumerate(moves):
        moved = action != "register"
        journal.append(seen, action, from_=now if moved else None, to=model(version), run=f"run-{version}", reason="test")  # type: ignore[arg-type]
        now = model(version) if moved else now
    return journal.entries()


def version_of(found: dict[str, str] | None) -> str | None:
    return found["version"] if found else None


@pytest.mark.parametrize("seen", [0, 2], ids=["an older head", "a head that is gone"])
def test_an_append_that_saw_another_head_is_a_conflict_and_writes_nothing(seen, tmp_path):
    journal = Journal(Folder(tmp_path), "demo")
    journal.append(0, "register", from_=None, to=model(1), run="r", reason="x")
    with pytest.raises(Conflict, match=f"since entry {seen}"):
        journal.append(seen, "register", from_=None, to=model(2), run="r", reason="x")
    assert os.listdir(Path(journal.where)) == ["00000001.json"]


def test_an_entry_says_who_did_what_to_which_weights_and_why(tmp_path):
    entry = Journal(Folder(tmp_path), "demo").append(0, "promote", from_=None, to=model(7), run="demo-x", reason="gates passed", by="ada")
    value = json.loads((tmp_path / "journal" / "demo" / "00000001.json").read_text())
    assert value == {
        "schema": 1, "seq": 1, "at": entry.at, "pipeline": "demo", "action": "promote", "from": None, "to": model(7),
        "digest": "digest-7", "run": "demo-x", "by": "ada", "reason": "gates passed", "prev": "",
    }  # fmt: skip


def test_a_half_written_temporary_file_is_nobodys_entry(tmp_path):
    history(tmp_path, ("register", 1))
    (tmp_path / "journal" / "demo" / ".00000002.abcd").write_text('{"schema"')
    journal = Journal(Folder(tmp_path), "demo")
    assert journal.verify() == []
    assert journal.append(1, "promote", from_=None, to=model(1), run="r", reason="x").seq == 2


@pytest.mark.parametrize(
    ("rule", "tamper"),
    [
        ("chain", lambda f: edit(f / "00000002.json", reason="nicer")),
        ("chain", lambda f: (f / "00000002.json").write_text((f / "00000002.json").read_text() + " ")),
        ("gap", lambda f: (f / "00000002.json").unlink()),
        ("seq", lambda f: edit(f / "00000002.json", seq=5)),
        ("seq", lambda f: edit(f / "00000002.json", pipeline="other")),
        ("schema", lambda f: edit(f / "00000002.json", extra=1)),
        ("schema", lambda f: (f / "00000002.json").write_text("[]")),
        ("json", lambda f: (f / "00000002.json").write_bytes(b"\xff\xfe{")),
        ("json", lambda f: (f / "00000002.json").write_text("")),
    ],
)
def test_tampering_is_named_and_stops_everything_that_reads_the_whole_journal(tmp_path, rule, tamper):
    history(tmp_path, ("register", 1), ("promote", 1), ("register", 2))
    journal = Journal(Folder(tmp_path), "demo")
    assert journal.verify() == []
    tamper(Path(journal.where))
    assert rule in {problem["rule"] for problem in journal.verify()}
    with pytest.raises(EnvironmentFault, match="entry") as caught:
        journal.entries()
    assert caught.value.problems[0]["file"].endswith(("00000002.json", "00000003.json"))


@pytest.mark.parametrize(
    ("number", "tamper", "file", "said"),
    [
        (1, lambda path: edit(path, by="mallory"), "00000001.json", "entry 1 was edited"),
        (2, lambda path: edit(path, reason="nicer"), "00000002.json", "entry 2 was edited"),
        (2, lambda path: edit(path, prev="0" * 64), "00000002.json", "entry 2 was edited"),
        (3, lambda path: edit(path, reason="nicer"), "00000003.json", "entry 3 was edited"),
        (3, lambda path: edit(path, prev="0" * 64), "00000003.json", "entry 3 was edited"),
        (3, lambda path: path.unlink(), "00000003.json", "entry 3 is missing"),
        (2, lambda path: path.unlink(), "00000002.json", "entry 2 is missing"),
        (3, lambda path: path.write_text("{"), "00000003.json", "entry 3: it is not JSON"),
    ],
)
def test_the_one_entry_that_was_tampered_with_is_named_the_newest_too(tmp_path, number, tamper, file, said):
    history(tmp_path, ("register", 1), ("promote", 1), ("register", 2))
    journal = Journal(Folder(tmp_path), "demo")
    tamper(Path(journal.where) / f"{number:08d}.json")
    (problem,) = journal.verify()
    assert problem["file"] == str(Path(journal.where) / file)
    assert problem["message"].startswith(said)
    with pytest.raises(EnvironmentFault, match=file):
        journal.entries()


@pytest.mark.parametrize("tamper", [lambda path: edit(path, reason="nicer"), lambda path: path.unlink()])
def test_nothing_is_appended_to_a_newest_entry_that_was_tampered_with(tmp_path, tamper):
    history(tmp_path, ("register", 1), ("promote", 1))
    journal = Journal(Folder(tmp_path), "demo")
    tamper(Path(journal.where) / "00000002.json")
    for seen in (1, 2):
        with pytest.raises(EnvironmentFault, match="entry 2"):
            journal.append(seen, "promote", from_=None, to=model(1), run="r", reason="x")


def test_a_journal_without_a_witness_is_read_and_gets_one_with_the_next_entry(tmp_path):
    history(tmp_path, ("register", 1))
    witness = tmp_path / "journal" / ".demo.head"
    witness.unlink()
    journal = Journal(Folder(tmp_path), "demo")
    assert [entry.seq for entry in journal.entries()] == [1]
    entry = journal.append(1, "promote", from_=None, to=model(1), run="r", reason="x")
    assert json.loads(witness.read_text()) == {"seq": 2, "sha256": entry.sha}


def test_a_kill_before_the_witness_costs_nothing(tmp_path):
    history(tmp_path, ("register", 1))
    witness = tmp_path / "journal" / ".demo.head"
    former = witness.read_text()
    journal = Journal(Folder(tmp_path), "demo")
    journal.append(1, "promote", from_=None, to=model(1), run="r", reason="x")
    witness.write_text(former)
    assert (len(journal.entries()), journal.append(2, "register", from_=None, to=model(2), run="r", reason="x").seq) == (2, 3)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}, indent=2, sort_keys=True) + "\n")


def test_a_head_whose_link_is_broken_is_refused(tmp_path):
    history(tmp_path, ("register", 1), ("promote", 1))
    edit(tmp_path / "journal" / "demo" / "00000001.json", by="someone else")
    with pytest.raises(EnvironmentFault, match="prev"):
        Journal(Folder(tmp_path), "demo").head()


@pytest.mark.parametrize(
    ("moves", "champion", "challenger", "previous"),
    [
        ([], None, None, None),
        ([("register", 1)], None, "1", None),
        ([("register", 1), ("promote", 1)], "1", None, None),
        ([("register", 1), ("promote", 1), ("register", 2)], "1", "2", None),
        ([("register", 1), ("promote", 1), ("register", 2), ("promote", 2)], "2", None, "1"),
        ([("promote", 1), ("promote", 2), ("rollback", 1)], "1", None, None),
        ([("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 2)], "2", None, "1"),
        ([("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 1)], "1", None, None),
        ([("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 3)], "3", None, "1"),
        ([("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 2)], "2", None, "1"),
    ],
)
def test_champion_challenger_and_the_target_of_a_rollback_follow_from_the_entries(tmp_path, moves, champion, challenger, previous):
    entries = history(tmp_path, *moves)
    found = (version_of(champion_of(entries)), version_of(challenger_of(entries)), version_of(previous_of(entries)))
    assert found == (champion, challenger, previous)


def test_a_model_people_rolled_back_from_is_remembered_until_someone_promotes_it_again(tmp_path):
    entries = history(tmp_path / "a", ("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 3))
    left = rolled_back(entries, "digest-2")
    assert left is not None
    assert left.seq == 3
    assert rolled_back(entries, "digest-1") is None
    assert rolled_back(entries, "digest-3") is None
    assert rolled_back(entries, "never seen") is None
    again = history(tmp_path / "b", ("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 2))
    assert rolled_back(again, "digest-2") is None


def test_a_lease_is_held_by_one_and_its_holder_is_named(tmp_path):
    with lease(tmp_path, "demo"):
        with lease(tmp_path, "other"):
            pass
        with pytest.raises(Conflict, match=f"process {os.getpid()}"), lease(tmp_path, "demo", seconds=0.05):
            pass
    with lease(tmp_path, "demo", seconds=0.0):
        pass


def test_the_head_of_a_long_journal_is_its_witness_and_two_entries_read_and_nothing_heavy_imported(tmp_path):
    history(tmp_path, *[("register", i) for i in range(100)])
    code = (
        "import sys; from pathlib import Path; from regraft.registry.journal import Journal\n"
        "from regraft.registry.stores.folder import Folder\n"
        "read = []; sys.addaudithook(lambda event, said: event == 'open' and read.append(Path(said[0]).name))\n"
        "head = Journal(Folder(Path(sys.argv[1])), 'demo').head()\n"
        "print(head.seq, sorted(set(read)), sorted({'mlflow', 'pandas', 'torch', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "100 ['.demo.head', '00000099.json', '00000100.json'] []\n"


def test_on_ci_the_journal_names_the_person_who_triggered_the_job(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    assert whoami() != "ada"
    monkeypatch.setenv("CI", "true")
    assert whoami() == "ada"
