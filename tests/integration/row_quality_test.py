"""Rows a model may have read before, and labels that are probably wrong: found, judged by, kept and told."""

from __future__ import annotations

import hashlib
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workbench import leave_scores, line

from regraft.core import files
from regraft.core.errors import DataRejected, EnvironmentFault
from regraft.data import contamination
from regraft.data.contamination import Finder, Overlap, worst
from regraft.evaluation.label_issues import Baseline, Suspect, find_suspects, off_diagonal
from regraft.evaluation.predictions import Table
from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.stats.proportions import wilson
from regraft.gates.comparison import MIN_CLEAN_ROWS
from regraft.gates.decide import decide, rebuild
from regraft.gates.evidence import row_quality
from regraft.gates.measurements import measurements
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, evaluate, judge
from regraft.gates.row_quality import RowQuality
from regraft.gates.telling import sentence
from regraft.gates.verdict import Champion, Rows
from regraft.reports import explain
from regraft.reports.document import document
from regraft.reports.page import render
from regraft.reports.words import headline

# --- overlap -----------------------------------------------------------------------------------------------------

ROW = "The quick brown fox jumps over the lazy dog, and then it sleeps until noon."  # 15 words, 8 runs of eight
WORDS = ROW.rstrip(".").replace(",", "").lower().split()


@pytest.mark.parametrize(
    ("row", "text", "kind", "share"),
    [
        (ROW, f"Once upon a time: {ROW.upper()} The end.", "exact", 1.0),
        (ROW, "the QUICK brown\n fox; jumps over - the lazy dog and then it sleeps until noon", "exact", 1.0),
        (ROW, " ".join(WORDS[:13]), "near", 0.75),  # 6 of its 8 runs
        (ROW, " ".join(WORDS[:12]), None, 0.625),
        (ROW, " ".join([*WORDS[:8], "x", *WORDS[8:]]), None, 0.125),
        (ROW, " ".join(reversed(WORDS)), None, 0.0),
        ("Returns a list.", "Returns a list of the rows that were asked for by the caller.", None, 0.0),
        ("Returns a list.", "returns a LIST", "exact", 1.0),
        ("...", "...", None, 0.0),
        ("", "", None, 0.0),
        ("这是一个关于猫和狗的短句", "他说这是一个关于猫和狗的短句吗", "exact", 1.0),  # written without blanks
    ],
)
def test_what_overlaps_and_how_much(row, text, kind, share):
    (found,) = Finder([row])("train", [("a", "nothing of the sort"), ("b", text)])
    assert (found.kind, found.share) == (kind, share)
    assert found.of == ("b" if share else None)


def test_runs_in_several_texts_add_up_and_the_text_with_most_of_them_is_named():
    halves = [("first", " ".join(WORDS[:9])), ("second", " ".join(WORDS[2:14])), ("again", " ".join(WORDS[2:14]))]
    (found,) = Finder([ROW])("corpus", halves)
    assert found == Overlap("near", "corpus", 0.875, "second"), "2 runs of the first, 5 more of the second; the last one is missing"


def test_a_run_of_the_text_ends_where_an_unknown_word_stands():
    (found,) = Finder([ROW])("corpus", [("a", " ".join([*WORDS[:7], "cat", *WORDS[8:]]))])
    assert found == Overlap(None, None, 0.0, None)


def test_runs_are_found_as_a_search_in_plain_text_finds_them():
    rng = np.random.default_rng(1)
    rows = [" ".join(f"w{k}" for k in rng.integers(0, 3, 12)) for _ in range(60)]
    texts = [" ".join(f"w{k}" for k in rng.integers(0, 3, 200)) for _ in range(5)]
    padded = [f" {text} " for text in texts]
    for row, found in zip(rows, Finder(rows)("corpus", [(str(n), text) for n, text in enumerate(texts)]), strict=True):
        words = row.split()
        runs = [any(f" {' '.join(words[i : i + 8])} " in text for text in padded) for i in range(5)]
        assert found.share == pytest.approx(sum(runs) / 5) or found.kind == "exact"
        assert (found.kind == "exact") == any(f" {row} " in text for text in padded)


def test_of_several_sources_the_worst_counts():
    train = [Overlap("near", "train", 0.9, "r1"), Overlap("near", "train", 0.8, "r2"), Overlap(None, None, 0.0, None)]
    corpus = [Overlap("exact", "corpus", 1.0, "d1"), Overlap("near", "corpus", 0.8, "d2"), Overlap(None, "corpus", 0.1, "d3")]
    assert [found.of for found in worst(train, corpus)] == ["d1", "r2", "d3"]


def test_more_words_than_there_are_characters_is_said(monkeypatch):
    monkeypatch.setattr(contamination.sys, "maxunicode", 10)
    with pytest.raises(DataRejected, match="different words"):
        Finder([ROW])


# --- suspects ----------------------------------------------------------------------------------------------------


def test_a_label_is_suspect_when_another_class_is_confident():
    p = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.95, 0.05]]
    given = [0, 0, 0, 1, 1, 1]
    # thresholds: (0.9 + 0.7 + 0.2) / 3 = 0.6 and (0.6 + 0.9 + 0.05) / 3 = 0.517
    assert off_diagonal(given, p).tolist() == [-1, -1, 1, -1, -1, 0]


def test_the_suspects_are_those_of_cleanlab():
    """cleanlab 2.9.0, compute_confident_joint(..., return_indices_of_off_diagonals=True) on the same numbers."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(4) * 0.6, 500)
    given = np.array([rng.choice(4, p=row) for row in p])
    rows = np.flatnonzero(off_diagonal(given, p) >= 0)
    assert len(rows) == 147
    assert hashlib.sha256(",".join(map(str, rows.tolist())).encode()).hexdigest()[:16] == "6e219c33e1eca314"


def noisy(wrong: tuple[int, ...]) -> tuple[list[str], list[str], list[str]]:
    """40 rows of two classes that one word tells apart; those in ``wrong`` have the other label."""
    texts = [f"{('meow', 'woof')[n % 2]} {('soft', 'loud', 'old')[n % 3]} number {n}" for n in range(40)]
    return [f"r{n:02d}" for n in range(40)], texts, [("cat", "dog")[(n % 2) ^ (n in wrong)] for n in range(40)]


def test_swapped_labels_are_found_whatever_the_order_of_the_rows():
    ids, texts, labels = noisy((4, 11, 30))
    found, judged = find_suspects(ids, texts, labels, Baseline(2, 10.0), 17)
    assert (sorted(found), judged) == ([4, 11, 30], 40)
    assert [found[row].suggested for row in (4, 11, 30)] == ["cat", "dog", "cat"]
    assert all(suspect.p_suggested > 0.5 > suspect.p_label for suspect in found.values())
    order = np.random.default_rng(0).permutation(40).tolist()
    again, _ = find_suspects(*([column[i] for i in order] for column in (ids, texts, labels)), Baseline(2, 10.0), 17)
    assert [(ids[row], suspect.suggested) for row, suspect in found.items()] == [(ids[order[row]], s.suggested) for row, s in again.items()]


def test_a_class_of_a_few_rows_is_not_judged():
    ids, texts, labels = noisy(())
    few = [*labels[:-4], "emu", "emu", "emu", "emu"]
    assert find_suspects(ids, texts, few, Baseline(2, 10.0), 17)[1] == 36
    assert find_suspects(ids[:6], texts[:6], labels[:6], Baseline(2, 10.0), 17) == ({}, 0)


# --- the gates ---------------------------------------------------------------------------------------------------

N, LABELS = 240, ("cat", "dog", "emu")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
OLD = Champion("3", "digest-of-old")
FLOOR = line(metric="accuracy", at_least=0.8, rows="clean")
BEATS = line(metric="accuracy", beats="champion", rows="clean")
MARGIN = line(metric="accuracy", non_inferior_by=0.05, rows="clean")
LOSS = line(metric="log_loss", beats="champion", rows="clean")
FLIPS = line(negative_flips={"max": 0.5})


def answers(wrong: set[int]) -> Predictions:
    said = [(i + (i in wrong)) % 3 for i in range(N)]
    p = np.full((N, 3), 0.15, dtype=np.float32)
    p[np.arange(N), said] = 0.7
    return Predictions(IDS, TRUTH, [LABELS[k] for k in said], (), p, LABELS)


def overlapping(rows: range | set[int]) -> RowQuality:
    dirty = {IDS[i] for i in rows}
    return RowQuality({row: Overlap("exact" if row in dirty else None, "corpus", 1.0, "document 1") for row in IDS})


def evidence_of(quality: RowQuality) -> dict[str, object]:
    """What of ``quality`` is known, as a case has it."""
    return {key: rows for key, rows in (("overlap", quality.overlaps), ("suspects", quality.label_issues)) if rows is not None}


def case(candidate: set[int], champion: set[int], *gates: GateOptions, doubted: RowQuality) -> Case:
    made = {"adapted": answers(candidate), "base": answers(candidate), "tfidf": answers(set(range(N))), "champion": answers(champion)}
    digests = {"adapted": "digest-of-adapted", "base": "digest-of-base"}
    return Case("demo", Policy(gates, 17, 999), digests, Rows("d", N), made, champion=OLD, evidence=evidence_of(doubted))


READ = range(120)
"""Rows that were read before; 120 are clean."""


@pytest.mark.parametrize(
    ("gate", "candidate", "champion", "outcome", "value", "says"),
    [
        # right about all that it has read, about half of the rest
        (FLOOR, set(range(120, 180)), set(), "fail", 0.5, "on all of them it is 0.750 (95 % interval"),
        (FLOOR, set(range(60)), set(), "pass", 1.0, "on all of them it is 0.750"),
        (BEATS, set(range(120, 150)), set(range(60)), "fail", -0.25, "it is 0.125 above the champion (95 % interval"),
        (BEATS, set(range(60)), set(range(120, 150)), "pass", 0.25, "it is 0.125 below the champion"),
        (MARGIN, set(range(120, 150)), set(range(60)), "fail", -0.25, ", which would have passed."),
        (MARGIN, set(range(30)), set(), "pass", 0.0, ", which would have failed."),
        (LOSS, set(range(60)), set(range(120, 150)), "pass", None, "worse than the champion"),
        (MARGIN, set(), set(), "pass", 0.0, "it is exactly as much as the champion"),
    ],
)  # fmt: skip
def test_clean_rows_decide_and_all_rows_are_told(gate, candidate, champion, outcome, value, says):
    found = judge(case(candidate, champion, gate, doubted=overlapping(READ))).findings[-1]
    assert (found.outcome, found.n) == (outcome, 120), sentence(found)
    assert value is None or found.value == value
    assert "on 120 test rows" in sentence(found)
    assert "of all 240 test rows 120 overlap with training texts (120 word for word in the corpus)" in sentence(found)
    assert says in sentence(found)


def test_the_clean_rows_are_judged_as_if_there_were_no_others():
    """The numbers are those of a test set that has only the clean rows."""
    whole = case(set(range(120, 140)), set(range(100, 150)), BEATS, doubted=overlapping(READ))
    rows = [i for i in range(N) if i not in READ]
    ids, truth = [IDS[i] for i in rows], [TRUTH[i] for i in rows]
    only = {m: Predictions(ids, truth, [p.preds[i] for i in rows], (), p.p[rows], LABELS) for m, p in whole.predictions.items()}
    plain = replace(whole, predictions=only, rows=Rows("d", len(rows)), policy=Policy((BEATS.model_copy(update={"rows": None}),), 17, 999))
    here, there = judge(whole).findings[-1], judge(plain).findings[-1]
    assert (here.value, here.low, here.high, here.n, here.outcome) == (there.value, there.low, there.high, there.n, there.outcome)


def test_a_class_without_clean_rows_is_no_class_of_the_clean_ones():
    dirty = {i for i in range(N) if i % 3 == 0}
    found = judge(case(set(), {1, 2}, line(at_least=0.9, rows="clean"), doubted=overlapping(dirty))).findings[-1]
    assert (found.outcome, found.value, found.n) == ("pass", 1.0, 160)


ONE_LABEL = {i for i in range(N) if i % 3}
"""Rows that were read before, so that the 80 clean ones are all cats."""


def test_a_metric_that_the_clean_rows_leave_undefined_is_said_of_those_alone():
    area = line(metric="roc_auc", at_least=0.5, rows="clean")
    verdict = judge(case(set(), {1, 2}, area, doubted=overlapping(ONE_LABEL)))
    found = verdict.findings[-1]
    assert (found.outcome, found.value, found.n) == ("inconclusive", None, 80)
    assert sentence(found).startswith("ROC AUC is not defined: all clean test rows have one label; of all 240 test rows 160 overlap")
    assert sentence(found).endswith("and on all of them it is 1.000 (95 % interval 1.000 to 1.000), which would have passed.")
    plain = judge(case(set(), {1, 2}, line(metric="mcc", at_least=0.1, rows="clean"), doubted=overlapping(ONE_LABEL))).findings[-1]
    assert plain.value == 0.0, "the other metrics are defined on rows of one label"
    assert headline(verdict.document(), []).startswith("No decision: what was asked is not defined on the test rows that are free of")


def test_too_few_clean_rows_to_tell_are_counted_as_such():
    open_ = case(set(range(120, 136)), set(), line(metric="accuracy", at_least=0.85, rows="clean"), doubted=overlapping(READ))
    said = headline(judge(open_).document(), [])
    assert "the 120 test rows that are free of overlap with training texts are too few to tell whether the new model is good enough" in said
    both = replace(open_, policy=replace(open_.policy, gates=(*open_.policy.gates, line(metric="accuracy", at_least=0.93))))
    assert "240 test rows are too few to tell" in headline(judge(both).document(), [])


def test_one_clean_row_is_one():
    found = judge(case(set(), set(), FLOOR, doubted=overlapping(range(N - 1)))).findings[-1]
    assert sentence(found).startswith("only 1 of 240 test rows is clean, and fewer than 30 decide nothing")


@pytest.mark.parametrize(
    ("doubted", "n", "says"),
    [
        (overlapping(range(N)), 0, "only 0 of 240 test rows are clean, and fewer than 30 decide nothing: 240 overlap with training texts"),
        (overlapping(range(N - MIN_CLEAN_ROWS + 1)), MIN_CLEAN_ROWS - 1, "only 29 of 240 test rows are clean"),
        (RowQuality(), N, "nobody looked which test rows overlap with training texts"),
    ],
)
def test_too_few_clean_rows_decide_nothing(doubted, n, says):
    found = judge(case(set(), set(), FLOOR, doubted=doubted)).findings[-1]
    assert (found.outcome, found.value, found.n) == ("inconclusive", None, n)
    assert says in sentence(found)


def test_without_any_overlap_the_numbers_are_those_of_all_rows():
    both = (FLOOR, line(metric="accuracy", at_least=0.8))
    clean, plain = (judge(case({1, 2}, set(), gate, doubted=overlapping(set()))).findings[-1] for gate in both)
    assert sentence(clean) == sentence(plain)[:-1] + "; these are all test rows, none of them overlaps with a training text."
    assert replace(clean, facts={}) == replace(plain, facts={})
    assert {key: value for key, value in clean.facts.items() if key != "all_rows"} == plain.facts


def test_overlaps_of_other_rows_are_an_error():
    with pytest.raises(EnvironmentFault, match="the overlaps are those of 1 rows, the predictions of 240"):
        judge(case(set(), set(), FLOOR, doubted=RowQuality({"r000": Overlap(None, None, 0.0, None)})))


SUSPECT = RowQuality(label_issues={IDS[i]: Suspect("emu", 0.1, 0.8) for i in (3, 4, 200)})


@pytest.mark.parametrize(
    ("candidate", "doubted", "end"),
    [
        ({3, 4, 5, 6}, SUSPECT, "budget of 50 %; 2 of the 4 have a suspect label, the others are 0.833 % of the test rows."),
        ({3, 5}, SUSPECT, "1 of the 2 has a suspect label, the others are 0.417 % of the test rows."),
        ({3, 4}, SUSPECT, "within the budget of 50 %; all of the 2 have a suspect label."),
        ({3}, SUSPECT, "within the budget of 50 %; its label is suspect."),
        ({5}, SUSPECT, "its label is not suspect."),
        ({5, 6}, SUSPECT, "within the budget of 50 %; none of the 2 have a suspect label."),
        (set(), SUSPECT, "within the budget of 50 %."),
        ({3, 4}, RowQuality(), "within the budget of 50 %."),
    ],
)  # fmt: skip
def test_flips_on_suspect_labels_are_told_apart_and_change_no_number(candidate, doubted, end):
    found = judge(case(candidate, set(), FLIPS, doubted=doubted)).findings[-1]
    assert sentence(found).endswith(end)
    assert found.value == rounded(len(candidate) / N)


def test_measurements_have_both_numbers_only_where_somebody_looked():
    both = replace(overlapping(READ), label_issues=SUSPECT.label_issues)
    asked = case({3, 4, 5, 130}, set(), FLOOR, FLIPS, doubted=both)
    found = measurements(asked, evaluate(asked)[1])
    assert found["overlap"]["clean"] == 120
    assert found["overlap"]["overlapping"] == {"exact_corpus": 120}
    (gate,) = found["overlap"]["gates"]
    assert (gate["gate"], gate["clean"]["value"], gate["all"]["value"]) == (0, rounded(119 / 120), rounded(236 / 240))
    low, high = wilson(2, N, 0.95)
    assert found["suspects"]["test_rows"] == 3
    assert found["suspects"]["flips"]["champion"] == {
        "gained_on_suspects": 0,
        "lost_on_suspects": 2,
        "share_lost_elsewhere": {"value": rounded(2 / N), "low": rounded(low), "high": rounded(high)},
    }
    plain = case(set(), set(), FLIPS, doubted=RowQuality())
    assert not {"overlap", "suspects"} & measurements(plain, evaluate(plain)[1]).keys()


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return make_artifacts(tmp_path)


def make_artifacts(root: Path) -> Path:
    """What ``scores``, ``overlap`` and ``suspects`` leave: 30 of 240 rows overlap, two labels are suspect."""
    wrong = {"adapted": set(range(20)), "base": set(range(60)), "tfidf": set(range(120)), "champion": set(range(10, 60))}
    tables = {model: Table.of(IDS, TRUTH, answers(rows).p, LABELS) for model, rows in wrong.items()}
    leave_scores(root / "scores" / "out", tables, LABELS)
    for step in ("overlap", "suspects"):
        (root / step / "out").mkdir(parents=True)
    row_quality.write_overlap(root / "overlap" / "out" / row_quality.OVERLAP, overlapping(range(30)).overlaps)
    rows = {"id": IDS, "split": ["test"] * 5 + ["train"] * (N - 5), "text": ["a text"] * N, "label": TRUTH}
    found = {3: Suspect("emu", 0.1, 0.8), 4: Suspect("cat", 0.2, 0.7), 50: Suspect("cat", 0.2, 0.7)}
    row_quality.write_suspects(root / "suspects" / "out" / row_quality.SUSPECTS, rows, found)
    return root


def take(artifacts: Path, *gates: GateOptions) -> Path:
    out = artifacts / "scores" / "out"
    decide("demo", gates, 17, out, Champion("2", "c" * 64), out / "champion.parquet", None, artifacts / "evidence")
    return artifacts / "evidence"


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evidence of a decision that asked for both; read only."""
    return take(make_artifacts(tmp_path_factory.mktemp("decided")), FLOOR, FLIPS)


def test_a_decision_on_clean_rows_is_rebuilt_from_its_evidence_alone(decided, tmp_path):
    evidence = shutil.copytree(decided, tmp_path / "elsewhere")
    kept = files.read_json(evidence / "decision.json")["evidence"]
    assert kept == {name: files.sha256_file(evidence / name) for name in row_quality.FILES}
    explanation = explain.explanation(evidence)
    assert explanation.measurements["overlap"]["clean"] == 210, "verdict and measurements are rebuilt byte for byte"
    told = "\n".join(explain.lines(explanation))
    assert "Row by row, metrics, slices and power are those of all 240 test rows, of which 210 are clean." in told
    assert "accuracy against the floor of 0.800 on the clean rows: " in told
    lines = (evidence / "negative_flips.csv").read_text().splitlines()
    assert lines[0] == "id,label,champion,candidate,suspect,suggested"
    assert lines[4:6] == ["r003,cat,cat,dog,yes,emu", "r004,dog,dog,emu,yes,cat"]
    assert lines[6] == "r005,emu,emu,cat,no,"


def test_a_decision_that_does_not_ask_keeps_none_of_it_nor_what_another_left(artifacts, decided):
    shutil.copytree(decided, artifacts / "evidence")
    evidence = take(artifacts, line(at_least=0.5))
    assert files.read_json(evidence / "decision.json")["evidence"] == {}
    assert not [name for name in row_quality.FILES if (evidence / name).exists()]
    assert (evidence / "negative_flips.csv").read_text().splitlines()[0] == "id,label,champion,candidate"


@pytest.mark.parametrize("name", row_quality.FILES)
def test_a_file_that_was_touched_is_named(name, decided, tmp_path):
    evidence = shutil.copytree(decided, tmp_path / "touched")
    (evidence / name).write_bytes((evidence / name).read_bytes() + b" ")
    with pytest.raises(EnvironmentFault, match=f"{name} is changed since the decision"):
        rebuild(evidence)


def test_a_decision_without_clean_rows_asks_for_other_test_rows(artifacts):
    row_quality.write_overlap(artifacts / "overlap" / "out" / row_quality.OVERLAP, overlapping(range(N)).overlaps)
    (change,) = (line for line in explain.explanation(take(artifacts, FLOOR)).changes if "clean" in line)
    assert change.startswith("more test rows without overlap: only 0 of 240 test rows are clean")


def test_a_gate_on_clean_rows_without_the_step_is_said_and_flips_without_it_are_judged(artifacts):
    for step in ("overlap", "suspects"):
        (artifacts / step / "out").rename(artifacts / f"gone-{step}")
    with pytest.raises(EnvironmentFault, match="a gate needs what the step 'overlap' leaves"):
        take(artifacts, FLOOR)
    assert not (artifacts / "evidence" / "verdict.json").exists()
    assert (take(artifacts, FLIPS) / "verdict.json").is_file()


# --- the page ----------------------------------------------------------------------------------------------------

reported = runpy.run_path(str(Path(__file__).parents[1] / "reported.py"))


def test_the_page_shows_the_rows_to_look_at():
    made = reported["evidence"](gates=(line(at_least=0.3, rows="clean"), FLIPS), text=reported["HOSTILE"])
    ids = made.test["id"]
    overlaps = {row: Overlap("near" if n < 7 else None, "train", 0.8, "r9") for n, row in enumerate(ids)}
    columns = {"id": [ids[0], "other"], "split": ["test", "train"], "text": [reported["HOSTILE"], "a text"], "label": ["garden", "kitchen"]}
    columns |= {"suggested": ["harbour", "garden"], "p_label": [0.1, 0.0], "p_suggested": [0.8, 0.9]}
    known = RowQuality(overlaps, {ids[0]: Suspect("harbour", 0.1, 0.8)})
    case = replace(made.case, evidence=evidence_of(known))
    report = document(replace(made, case=case, verdict=judge(case).document(), suspects=columns))
    assert (report.doubts.clean, len(report.doubts.overlapping), len(report.doubts.suspects)) == (293, 7, 2)
    page = render(report)
    assert "7 of 300 test rows share long runs of words" in page
    assert "Labels to look at" in page
    assert reported["HOSTILE"] not in page
    assert document(made).doubts is None, "nothing is said where nobody looked"


def test_a_verdict_without_clean_rows_says_what_is_missing():
    made = reported["evidence"](gates=(line(at_least=0.3, rows="clean"),))
    case = replace(made.case, evidence=evidence_of(RowQuality({row: Overlap("exact", "train", 1.0, "r9") for row in made.test["id"]})))
    report = document(replace(made, case=case, verdict=judge(case).document()))
    assert "too few test rows are free of overlap with training texts" in report.headline
