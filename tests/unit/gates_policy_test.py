"""What passes, what fails, what stays open, and what the verdict says about it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from workbench import line

from regraft.evaluation.stats.measured import Measured
from regraft.evaluation.stats.paired import Predictions
from regraft.gates import words
from regraft.gates.finding import facts_of, more_rows, needed
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, judge
from regraft.gates.registry import read
from regraft.gates.telling import sentence
from regraft.gates.verdict import Champion, Finding, Rows, render

N, LABELS = 240, ("cat", "dog", "emu")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
FLOOR = line(at_least=0.5)
TFIDF, CHAMPION = line(beats="tfidf"), line(beats="champion")
OLD, AGAIN = Champion("3", "digest-of-old"), Champion("3", "digest-of-adapted")


def answers(right: int, *, first: int = 0, unusable: tuple[str, ...] = ()) -> Predictions:
    """A model that gets ``right`` rows right, from row ``first`` on."""
    good = {(first + i) % N for i in range(right)}
    return Predictions(IDS, TRUTH, [TRUTH[i] if i in good else LABELS[(i + 1) % 3] for i in range(N)], unusable)


def case(adapted: int = 200, base: int = 170, tfidf: int = 120, champion: int | None = None, *gates: GateOptions) -> Case:
    made = {"adapted": answers(adapted), "base": answers(base), "tfidf": answers(tfidf)}
    if champion is not None:
        made["champion"] = answers(champion)
    return Case(
        pipeline="demo",
        policy=Policy(gates or (FLOOR, TFIDF, CHAMPION), seed=17, resamples=999),
        digests={"adapted": "digest-of-adapted", "base": "digest-of-base"},
        rows=Rows("digest-of-rows", N),
        predictions=made,
        champion=OLD if champion is not None else None,
    )


def finding(found: Case, gate: str, against: str | None = None) -> Finding:
    return next(f for f in judge(found).findings if f.gate == gate and f.against == against)


@pytest.mark.parametrize(
    ("adapted", "base", "tfidf", "champion", "candidate", "outcome"),
    [
        (200, 170, 120, None, "adapted", "pass"),  # a first model
        (200, 170, 120, 170, "adapted", "pass"),
        (200, 170, 120, 200, "adapted", "inconclusive"),  # as good as the champion is not better
        (200, 170, 120, 230, "adapted", "fail"),
        (170, 170, 120, 140, "base", "pass"),  # adaptation did not pay; base stands by itself
        (140, 170, 120, 150, "base", "pass"),  # adaptation did harm; the same
        (200, 170, 201, None, "adapted", "inconclusive"),
        (200, 170, 230, None, "adapted", "fail"),
        (120, 110, 60, None, "adapted", "inconclusive"),  # the floor of 0.5 inside the interval
        (70, 60, 40, None, "adapted", "fail"),
    ],
)
def test_the_table_of_outcomes(adapted, base, tfidf, champion, candidate, outcome):
    verdict = judge(case(adapted, base, tfidf, champion))
    assert (verdict.candidate.name, verdict.outcome) == (candidate, outcome)
    assert verdict.candidate.digest == f"digest-of-{candidate}"


@pytest.mark.parametrize(
    ("adapted", "said"),
    [
        (100, "adaptation did not pay here, so base is the candidate"),
        (170, "adaptation did not pay here, so base is the candidate"),  # the same answers
        (171, "whether adaptation pays is not shown, so base is the candidate"),
        (200, "adaptation paid, so adapted is the candidate"),
    ],
)
def test_what_adaptation_did_has_three_words_and_decides_nothing(adapted, said):
    found = finding(case(adapted, 170), "adaptation", "base")
    assert found.outcome == "info"
    assert said in sentence(found)


def test_a_failed_gate_outweighs_an_open_one():
    assert judge(case(200, 170, 230, 200)).outcome == "fail"


def test_the_first_model_has_nothing_to_beat_and_a_verdict_says_so():
    found = finding(case(), "beats", "champion")
    assert (found.outcome, found.value, sentence(found)) == ("info", None, "no champion yet: nothing to compare with.")


def test_the_champion_again_is_a_pass_with_nothing_to_register():
    verdict = judge(replace(case(200, 170, 120, 200), champion=AGAIN))
    assert verdict.outcome == "pass"
    assert verdict.already_champion
    assert [f.gate for f in verdict.findings] == ["adaptation", "identity", "at_least", "beats"]
    assert "already champion (version 3)" in sentence(verdict.findings[1])


def test_the_champion_again_still_has_to_hold_a_raised_floor():
    assert judge(replace(case(200, 170, 120, 200, line(at_least=0.99)), champion=AGAIN)).outcome == "fail"


@pytest.mark.parametrize("scored", [True, False])
def test_a_champion_that_cannot_be_compared_with_leaves_the_question_open(scored):
    found = replace(case(200, 170, 120, 10 if scored else None), champion=OLD)
    verdict = judge(replace(found, champion_problem={"code": "labels", "lost": ["gnu"], "new": []}))
    assert verdict.outcome == "inconclusive"
    assert sentence(verdict.findings[-1]) == "champion version 3 cannot be compared with: the label set changed (it knows gnu)."


def test_a_champion_with_broken_probabilities_leaves_the_question_open():
    found = case(200, 170, 120, 100)
    broken = answers(100, unusable=("r007",))
    verdict = judge(replace(found, predictions={**found.predictions, "champion": broken}))
    assert verdict.outcome == "inconclusive"
    assert "its probabilities are not finite for row r007" in sentence(verdict.findings[-1])


@pytest.mark.parametrize("model", ["adapted", "base", "tfidf"])
def test_probabilities_that_are_not_numbers_fail_and_the_rows_are_named(model):
    found = case()
    broken = replace(found.predictions[model], unusable=("r001", "r002", "r003", "r009"))
    verdict = judge(replace(found, predictions={**found.predictions, model: broken}))
    assert verdict.outcome == "fail"
    assert "not finite for rows r001, r002, r003 and 1 more" in sentence(verdict.findings[0])


def test_a_floor_that_the_interval_touches_holds_and_a_difference_that_touches_zero_is_open():
    assert Measured(0.6, 0.5, 0.7, 0.5, 0.95).outcome(or_equal=True) == "pass"
    assert Measured(0.1, 0.0, 0.2, 0.0, 0.95).outcome() == "inconclusive"
    assert Measured(-0.1, -0.2, 0.0, 0.0, 0.95).outcome() == "inconclusive"


def test_sentences_are_for_people():
    found = finding(case(), "beats", "tfidf")
    low, high = words.number(found.low or 0), words.number(found.high or 0)
    interval = f"95 % interval {low} to {high}; smallest difference that these rows can show: 0.086"
    assert sentence(found) == f"the adapted + fine-tuned model scores 0.833 macro-F1 on 240 test rows, 0.333 above TF-IDF ({interval})."
    accuracy = case(200, 170, 120, None, line(metric="accuracy", beats="tfidf"))
    assert "exact McNemar p = " in sentence(finding(accuracy, "beats", "tfidf"))


def asked_for(n: int, measured: Measured) -> str:
    return words.asked_for({**facts_of(measured), **needed(n, measured)})


def test_an_open_question_says_how_many_more_rows_would_answer_it():
    assert more_rows(800, Measured(0.02, -0.02, 0.06, 0.0, 0.95)) == 2_400  # half-width 0.04 is twice 0.02: four times the rows
    assert "about 2,400 more test rows" in asked_for(800, Measured(0.02, -0.02, 0.06, 0.0, 0.95))
    assert "about 10 more test rows" in asked_for(800, Measured(0.033, 0.0, 0.067, 0.0, 0.95))  # a hair's breadth
    for hopeless in (Measured(0.0, -0.04, 0.04, 0.0, 0.95), Measured(0.001, -0.04, 0.04, 0.0, 0.95)):
        assert "no sensible number of test rows" in asked_for(800, hopeless)


def test_a_small_number_is_not_shown_as_zero():
    assert [words.number(x) for x in (0.0, 0.0004, -0.00002, 0.0526)] == ["0.000", "0.0004", "-0.00002", "0.053"]


def test_the_text_has_sorted_keys_six_decimals_and_every_key():
    text = render(judge(case(200, 170, 120, 170)))
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert set(document) == {"schema", "pipeline", "outcome", "candidate", "champion", "rows", "policy_digest", "findings"}
    keys = {"gate", "against", "metric", "value", "low", "high", "threshold", "n", "outcome", "code", "facts"}
    assert all(set(f) == keys for f in document["findings"])
    numbers = [f[key] for f in document["findings"] for key in ("value", "low", "high", "threshold") if f[key] is not None]
    assert numbers == [round(number, 6) for number in numbers]
    assert render(judge(case(200, 170, 120, 170))) == text


def test_the_policy_digest_follows_gates_seed_and_resamples():
    policy = Policy((FLOOR, TFIDF), seed=17)
    higher = line(at_least=0.6)
    others = [Policy((TFIDF, FLOOR), 17), Policy((FLOOR, TFIDF), 18), Policy((FLOOR, TFIDF), 17, 99), Policy((higher, TFIDF), 17)]
    assert policy.digest == Policy((read({"at_least": 0.5}), TFIDF), 17).digest
    assert len({policy.digest, *(other.digest for other in others)}) == 5
