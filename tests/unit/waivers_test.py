"""Waivers: what may be waived, for how long, and that the journal notices every change of one."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.errors import ConfigError, GateFailed, GateInconclusive
from regraft.registry.journal import Journal, champion_of, previous_of
from regraft.registry.stores.folder import Folder
from regraft.registry.waiver import Waiver, is_waiver
from regraft.registry.waivers import cover, day, notice, told, waived_of

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
RUN = "tiny-20260101T000000-abcdef"
FLOOR = Waiver("at_least", None, "macro_f1", "fail", "base scores 0.400, below the floor of 0.500.", "2026-03-31")


def finding(gate, outcome, against=None, metric="macro_f1", n=300):
    return {"gate": gate, "outcome": outcome, "against": against, "metric": metric, "n": n, "sentence": f"{gate} {against}: {outcome}."}


def verdict(*findings):
    return {"rows": {"n": 300}, "findings": [finding("adaptation", "info", "base"), *findings]}


HELD_BACK = verdict(
    finding("at_least", "fail"), finding("beats", "inconclusive", "champion"), finding("beats", "pass", "tfidf"), finding("holdout", "pass")
)


def test_every_open_finding_is_covered_in_the_verdict_s_own_words():
    signed = cover(HELD_BACK, ["beats", "at_least:macro_f1"], "2026-03-31", RUN)
    assert [(w.name, w.outcome, w.sentence) for w in signed] == [
        ("at_least:macro_f1", "fail", "at_least None: fail."),
        ("beats:champion:macro_f1", "inconclusive", "beats champion: inconclusive."),
    ]
    assert {w.until for w in signed} == {"2026-03-31"}


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        (["at_leest"], ConfigError, "no gate 'at_leest'; did you mean 'at_least'?"),
        (["beats:champoin", "at_least"], ConfigError, "no gate 'beats:champoin'; did you mean 'beats:champion:macro_f1'?"),
        (["beats:tfidf", "at_least"], ConfigError, "the gate 'beats:tfidf' held"),
        (["holdout"], ConfigError, "the gate 'holdout' held"),
        (["adaptation"], ConfigError, "'adaptation' cannot be waived: it only chooses"),
        (["finite"], ConfigError, "'finite' cannot be waived: answers that are no numbers"),
        (["identity"], ConfigError, "'identity' cannot be waived"),
        (["at_least"], GateInconclusive, "held back by more than what is waived: beats champion: inconclusive."),
        (["beats"], GateFailed, "held back by more than what is waived: at_least None: fail."),
    ],
)
def test_what_cannot_be_waived_is_said_with_the_next_command(names, error, text):
    with pytest.raises(error) as caught:
        cover(HELD_BACK, names, "2026-03-31", RUN)
    assert text in str(caught.value)
    assert caught.value.fix.startswith("regraft ")


TWICE = verdict(finding("at_least", "fail"), finding("at_least", "inconclusive", n=280), finding("slices", "fail", "champion", n=40))
"""A floor asked of all rows and of the clean ones; a slice has fewer rows too, and is no matter of clean rows."""


def test_a_gate_on_clean_rows_is_waived_apart_from_the_same_gate_on_all_rows():
    signed = cover(TWICE, ["at_least:clean", "at_least:all:macro_f1", "slices"], "2026-03-31", RUN)
    assert [w.name for w in signed] == ["at_least:macro_f1", "at_least:clean:macro_f1", "slices:champion:macro_f1"]
    assert all(is_waiver(vars(w)) for w in signed), "journals are read by the regraft that knew no such names"
    again = cover(TWICE, [w.name for w in signed], "2026-03-31", RUN)
    assert again == signed == cover(TWICE, ["at_least", "slices"], "2026-03-31", RUN), "as before, a gate alone means every such line"


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        (["at_least:clean", "slices"], GateFailed, "held back by more than what is waived: at_least None: fail."),
        (["at_least:all", "slices"], GateInconclusive, "held back by more than what is waived: at_least None: inconclusive."),
        (["slices:clean"], ConfigError, "no gate 'slices:clean'; did you mean 'slices'?"),
    ],
)
def test_one_of_both_covers_one_of_both_and_the_next_command_names_each(names, error, text):
    with pytest.raises(error) as caught:
        cover(TWICE, names, "2026-03-31", RUN)
    assert text in str(caught.value)
    assert "--waive at_least:all --waive at_least:clean --waive slices --reason" in caught.value.fix
    alone = verdict(finding("at_least", "pass"), finding("at_least", "fail", n=280))
    with pytest.raises(ConfigError, match="no gate") as caught:
        cover(alone, ["at_leest"], "2026-03-31", RUN)
    assert "--waive at_least:clean --reason" in caught.value.fix


def test_a_verdict_that_passed_has_nothing_to_waive_and_one_that_is_not_finite_nothing_that_could_be():
    with pytest.raises(ConfigError, match="nothing to waive"):
        cover(verdict(finding("at_least", "pass")), ["at_least"], "2026-03-31", RUN)
    with pytest.raises(GateFailed) as caught:
        cover(verdict(finding("finite", "fail", "adapted"), finding("at_least", "fail")), ["at_least"], "2026-03-31", RUN)
    assert caught.value.fix == f"regraft explain {RUN}"


def test_a_waiver_lasts_to_the_end_of_its_day_in_utc():
    assert day("2026-03-05", NOW, "x") == "2026-03-05"
    for text, why in (
        ("2026-03-04", "lies in the past: today is 2026-03-05"),
        ("tomorrow", "is not a day"),
        ("2026-02-30", "is not a day"),
    ):
        with pytest.raises(ConfigError, match=why) as caught:
            day(text, NOW, "regraft promote x")
        assert caught.value.fix == "regraft promote x"
    assert not FLOOR.expired(datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
    assert FLOOR.expired(datetime(2026, 4, 1, tzinfo=UTC))


# --- in the journal ----------------------------------------------------------------------------------------------


def model(version):
    return {"version": str(version), "digest": f"{version}" * 64}


@pytest.fixture
def journal(tmp_path):
    """Version 1 passed; version 2 was promoted on a waiver."""
    found = Journal(Folder(tmp_path), "tiny")
    moves = [("register", None, 1, ()), ("promote", None, 1, ()), ("register", None, 2, ()), ("promote", 1, 2, (FLOOR,))]
    for seen, (action, before, after, waivers) in enumerate(moves):
        was = model(before) if before else None
        found.append(seen, action, from_=was, to=model(after), run=RUN, reason="pilot", by="ada", waivers=waivers)
    return found


def test_only_a_promotion_on_waivers_is_of_schema_2_and_older_entries_are_read(journal):
    written = [json.loads(path.read_text()) for path in sorted(Path(journal.where).glob("*.json"))]
    assert [entry["schema"] for entry in written] == [1, 1, 1, 2]
    assert written[3]["waivers"] == [vars(FLOOR)]
    assert [entry.waivers for entry in journal.entries()] == [(), (), (), (FLOOR,)]


@pytest.mark.parametrize(
    ("was", "becomes"), [("2026-03-31", "2027-03-31"), ('"by": "ada"', '"by": "eve"'), ("0.400", "0.490"), ('"at_least"', '"beats"')]
)
def test_a_waiver_that_was_edited_is_noticed(journal, was, becomes):
    path = Path(journal.where) / "00000004.json"
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes))
    assert [(problem["rule"], problem["file"]) for problem in journal.verify()] == [("chain", str(path))]


@pytest.mark.parametrize(
    "waivers", [None, [], ["at_least"], [{**vars(FLOOR), "until": "soon"}], [{**vars(FLOOR), "sentence": None}], [{"gate": "at_least"}]]
)
def test_what_is_no_waiver_is_no_entry(journal, waivers):
    path = Path(journal.where) / "00000004.json"
    files.write_json(path, {**json.loads(path.read_text()), "waivers": waivers})
    (problem,) = journal.verify()
    assert (problem["rule"], problem["file"]) == ("schema", str(path))
    assert is_waiver(vars(FLOOR))


def test_a_champion_stands_on_the_waivers_of_its_last_promotion(journal):
    entries = journal.entries()
    assert waived_of(entries).seq == 4
    since = champion_of(entries)["since"]
    later = replace(FLOOR, until="2026-12-31")
    journal.append(4, "promote", from_=model(2), to=model(2), run=RUN, reason="longer", by="ada", waivers=[later])
    entries = journal.entries()
    assert (waived_of(entries).waivers, champion_of(entries)["since"], previous_of(entries)) == ((later,), since, model(1))
    journal.append(5, "promote", from_=model(2), to=model(2), run=RUN, reason="verdict PASS", by="ada")
    assert waived_of(journal.entries()) is None
    assert notice("tiny", journal.entries(), NOW) is None


def test_a_rollback_to_a_waived_version_brings_its_waiver_back(journal):
    journal.append(4, "rollback", from_=model(2), to=model(1), run=RUN, reason="x")
    assert waived_of(journal.entries()) is None
    journal.append(5, "rollback", from_=model(1), to=model(2), run=RUN, reason="x")
    assert waived_of(journal.entries()).waivers == (FLOOR,)


def test_a_waiver_in_force_is_told_and_one_that_is_over_says_what_to_do(journal):
    found = notice("tiny", journal.entries(), NOW)
    assert found.message == "version 2 is champion on a waiver of at_least:macro_f1 by ada, in force until 2026-03-31: pilot"
    assert (found.expired, found.fix) == (False, None)
    over = notice("tiny", journal.entries(), datetime(2026, 4, 1, tzinfo=UTC))
    assert (over.expired, over.fix) == (True, "regraft rollback tiny")
    assert "that was over on 2026-03-31" in over.message
    assert told(journal.entries()[3]).endswith("by ada on a waiver of at_least:macro_f1 until 2026-03-31: pilot")


# --- where people look -------------------------------------------------------------------------------------------


@pytest.fixture
def told_workspace(journal, tiny):
    shutil.copytree(Path(journal.where).parent, tiny.state / "journal")
    return tiny


def test_a_waiver_that_is_edited_leaves_history_without_an_answer(told_workspace, cli):
    path = told_workspace.state / "journal" / "tiny" / "00000004.json"
    path.write_text(path.read_text().replace("2026-03-31", "2036-03-31"))
    said = cli("history", "tiny")
    assert (said.code, said.out) == (8, "")
    assert "entry 4 was edited after it was written" in said.err


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ("tiny --waive at_least", "a waiver needs --reason and --until"),
        ("tiny --waive at_least --until 2999-01-01", "a waiver needs --reason:"),
        ("tiny --waive at_least --until 2999-01-01 --reason '  '", "a waiver needs --reason:"),
        ("tiny --until 2999-01-01", "--until is about --waive"),
        ("tiny/2 2", "names a version already"),
        ("tiny-20260101T000000-abcdef 2", "is a run: it has one candidate"),
        ("nope/2", "no pipeline 'nope'"),
        ("tiny/2", "no registered version 2"),
    ],
)
def test_a_waiver_is_complete_or_it_is_none(argv, text, tiny, cli):
    said = cli("promote", *shlex.split(argv))
    assert (said.code, said.out, text in said.err, "next: regraft" in said.err) == (2, "", True, True), said
