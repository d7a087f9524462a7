"""Several seeds in a verdict: the level of its intervals, what it says, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import t as student
from workbench import line

from regraft.config.pipeline import PipelineOptions
from regraft.core.errors import EnvironmentFault
from regraft.data.contamination import Overlap
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.paired import Floats, Paired, Predictions
from regraft.evaluation.stats.seed_noise import degrees, measured_by_seeds, shares, student_quantile
from regraft.evaluation.stats.seeded import SeededMeasured, more_rows
from regraft.gates import repeats
from regraft.gates.finding import facts_of, needed
from regraft.gates.measurements import measurements
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, evaluate, judge
from regraft.gates.repeats import Repeats
from regraft.gates.telling import sentence
from regraft.gates.verdict import Champion, Finding, Rows
from regraft.gates.words import asked_for

N, LABELS = 240, ("cat", "dog", "emu")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
BEATS = line(metric="accuracy", beats="tfidf")
FLOOR = line(metric="accuracy", at_least=0.8)
THREE = line(seeds=3)


def answers(wrong: int, unusable: tuple[str, ...] = (), start: int = 0) -> Predictions:
    """A model that gets ``wrong`` rows wrong, from row ``start`` on."""
    said = [(i + (start <= i < start + wrong)) % 3 for i in range(N)]
    p = np.full((N, 3), 0.15, dtype=np.float32)
    p[np.arange(N), said] = 0.7
    return Predictions(IDS, TRUTH, [LABELS[k] for k in said], unusable, p, LABELS)


def case(*gates: GateOptions, base: tuple[int, ...] = (40, 40, 40), adapted: tuple[int, ...] = (40, 40, 40), tfidf: int = 80) -> Case:
    """``base`` and ``adapted``: wrong answers by seed, the registered model's first."""
    made = {"adapted": answers(adapted[0]), "base": answers(base[0]), "tfidf": answers(tfidf)}
    further = {"adapted": tuple(map(answers, adapted[1:])), "base": tuple(map(answers, base[1:]))}
    return Case("demo", Policy(gates, 17, 999), {"adapted": "a", "base": "b"}, Rows("d", N), made, seeds=further)


def finding(found: Case, gate: str) -> Finding:
    return next(f for f in judge(found).findings if f.gate == gate)


# --- the level ---------------------------------------------------------------------------------------------------


def two_recipes(rng: np.random.Generator, rows: int, count: int, seed_noise: float) -> Paired:
    """``count`` models of each of two recipes that are equally good; how good one model is depends on its seed."""
    truth = np.repeat(np.arange(3), rows // 3)
    skill = 0.7 + rng.normal(0, seed_noise, (2 * count, 1))
    right = rng.random((2 * count, rows)) < skill
    said = np.where(right, truth, (truth + 1) % 3)
    names = [repeats.seed_name(model, n) for model in ("adapted", "base") for n in range(1, count + 1)]
    return Paired(tuple(map(str, range(rows))), ("a", "b", "c"), truth, dict(zip(names, said, strict=True)))


def alarms(seed_noise: float, trials: int = 150) -> tuple[float, float]:
    """Shares of test sets on which two equal recipes are called different: from one model of each by rows, from four jointly."""
    alone = jointly = 0
    for trial in range(trials):
        paired = two_recipes(np.random.default_rng(trial), 150, 4, seed_noise)
        rows = replicates(paired, seed=trial, resamples=199, metrics=["accuracy"])["accuracy"]
        low, high = interval(rows["adapted seed 1"] - rows["base seed 1"], 0.95)
        alone += not low <= 0 <= high
        drawn = Repeats(4, paired, trial).drawn(rows)
        each = np.array([np.diff([paired.right(repeats.seed_name(m, n)).mean() for m in ("base", "adapted")])[0] for n in range(1, 5)])
        found = measured_by_seeds(each.mean(), drawn["adapted"] - drawn["base"], each, 0.0, 0.95, None)
        jointly += found.outcome() != "inconclusive"
    return alone / trials, jointly / trials


def test_where_the_seed_matters_rows_alone_raise_false_alarms_and_rows_with_seeds_keep_their_level():
    alone, jointly = alarms(seed_noise=0.06)
    assert alone > 0.2, "a row-only interval at 95 % misses four times as often as it says"
    assert jointly <= 0.09, "0.05, and two standard errors of 150 trials"


def test_where_the_seed_changes_no_answer_the_interval_is_that_of_one_model():
    one = judge(replace(case(BEATS), seeds=None)).findings[1]
    same = judge(case(BEATS, THREE)).findings[1]
    assert (same.value, same.low, same.high) == (one.value, one.low, one.high)


@pytest.mark.parametrize(
    ("df", "confidence", "quantile"),
    [(1, 0.99, 63.656741), (2, 0.95, 4.302653), (9, 0.95, 2.262157), (30, 0.9, 1.697261), (999, 0.95, 1.962341), (1_000, 0.95, 1.959964)],
)
def test_students_quantile_is_the_one_of_the_tables_and_the_normal_one_where_there_are_many_degrees(df, confidence, quantile):
    assert student_quantile(df, confidence) == pytest.approx(quantile, abs=1e-6)


@pytest.mark.parametrize(
    ("error", "seed_error", "count", "df"),
    [
        (1.0, 1.0, 3, 2), (1.0, 2.0, 3, 2), (2.0, 1.0, 3, 32), (1.0, 0.5, 5, 64),
        (1.0, 0.0, 3, 1000), (1.0, 1e-9, 3, 1000), (0.0, 0.0, 3, 1000),
    ],
)  # fmt: skip
def test_degrees_of_freedom_are_satterthwaites(error, seed_error, count, df):
    assert degrees(error, seed_error, count) == df


def test_an_interval_is_widened_about_its_median_by_students_quantile():
    each = np.array([0.1, 0.2, 0.3])
    resampled = np.random.default_rng(0).normal(0.2, 0.1 / np.sqrt(3), 999)
    found = measured_by_seeds(0.2, resampled, each, 0.0, 0.95, 0.8)
    error, middle = resampled.std(), np.median(resampled)
    factor = student.ppf(0.975, degrees(error, 0.1 / np.sqrt(3), 3)) / 1.959964
    low, high = interval(resampled, 0.95)
    assert found.low == pytest.approx(middle - factor * (middle - low), abs=2e-6)
    assert found.high == pytest.approx(middle + factor * (high - middle), abs=2e-6)
    assert found.detectable == pytest.approx((factor * 1.959964 + 0.841621) * error, abs=2e-6)
    assert found.seed_error == pytest.approx(0.1 / np.sqrt(3))


def test_the_stream_of_the_seeds_is_the_documented_one():
    """Words of Philox under key 17 + 2**64, low half first, multiply-shift; k - 1 draws of k seeds."""
    words = np.random.Philox(key=17 + 2**64).random_raw(6).tolist()
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    drawn = [[half * 4 >> 32 for half in halves[3 * r : 3 * r + 3]] for r in range(4)]
    assert shares(4, 17, 4).tolist() == [[row.count(s) / 3 for s in range(4)] for row in drawn]
    assert np.array_equal(shares(4, 17, 999)[:4], shares(4, 17, 4)), "how many follow changes nothing"
    assert words[0] == 10913232896226480300  # if this fails, no old verdict with seeds can be rebuilt


# --- the verdict -------------------------------------------------------------------------------------------------


def test_without_the_line_nothing_changes_and_further_models_are_not_looked_at():
    plain = replace(case(BEATS, FLOOR), seeds=None)
    more = case(BEATS, FLOOR, base=(40, 200, 200), adapted=(40, 10, 10))
    assert judge(plain) == judge(more)
    assert measurements(plain, evaluate(plain)[1]) == measurements(more, evaluate(more)[1])


def test_the_mean_is_judged_and_the_first_model_stays_visible():
    found = case(FLOOR, THREE, base=(24, 36, 48))
    floor, noise = finding(found, "at_least"), finding(found, "seeds")
    assert floor.value == round(1 - 36 / 240, 6)
    assert "the mean of 3 seeds (0.900, 0.850, 0.800; the first is the model that would be registered)" in sentence(floor)
    assert (noise.outcome, noise.value, noise.threshold) == ("info", 0.85, 0.9)
    assert (noise.low, noise.high) == (floor.low, floor.high)
    assert "from 0.800 to 0.900; the model that would be registered, the first, 0.900" in sentence(noise)
    assert "Standard deviation by seed 0.050, by test rows 0.0" in sentence(noise)
    assert "TF-IDF has one seed" in sentence(noise)
    assert judge(found).candidate.digest == "b"


def test_a_lucky_first_seed_passes_alone_and_is_open_with_the_others():
    lucky = case(FLOOR, THREE, base=(24, 55, 65))
    assert judge(replace(lucky, policy=Policy((FLOOR,), 17, 999))).outcome == "pass"
    found = judge(lucky)
    assert found.outcome == "inconclusive"
    assert "the seeds differ too much; ask for more `seeds`" in sentence(found.findings[1])


def test_adaptation_that_pays_only_under_the_first_seed_does_not_pay():
    found = case(FLOOR, THREE, adapted=(10, 60, 40), base=(40, 40, 40))
    assert judge(replace(found, policy=Policy((FLOOR,), 17, 999))).candidate.name == "adapted"
    assert judge(found).candidate.name == "base"


def test_seeds_are_drawn_together_so_what_a_seed_does_to_both_cancels():
    together = finding(case(FLOOR, THREE, adapted=(20, 40, 60), base=(30, 50, 70)), "adaptation")
    crossed = finding(case(FLOOR, THREE, adapted=(20, 40, 60), base=(70, 50, 30)), "adaptation")
    assert together.value == crossed.value
    assert together.high - together.low < (crossed.high - crossed.low) / 2


def test_a_champion_has_one_seed_and_is_compared_with_the_mean():
    champion = Champion("3", "old")
    found = case(line(metric="accuracy", beats="champion"), THREE, base=(24, 36, 48))
    found = replace(found, champion=champion, predictions={**found.predictions, "champion": answers(120)})
    assert (finding(found, "beats").value, finding(found, "beats").outcome) == (0.35, "pass")
    assert "exact McNemar p of the first seed = " in sentence(finding(found, "beats"))
    assert "the champion and TF-IDF have one seed" in sentence(finding(found, "seeds"))


def test_a_score_ends_where_its_metric_does():
    found = finding(case(line(metric="accuracy", at_least=0.3), THREE, base=(0, 0, 30)), "at_least")
    assert found.high == 1.0
    assert found.low < found.value < 1.0


@pytest.mark.parametrize("metric", ["macro_f1", "mcc", "roc_auc", "pr_auc", "log_loss"])
def test_every_metric_is_the_mean_of_its_seeds(metric):
    found = case(line(metric=metric, beats="tfidf"), THREE, base=(24, 36, 48), adapted=(48, 48, 48))
    single = [replace(found, predictions={**found.predictions, "base": answers(wrong)}, seeds=None) for wrong in (24, 36, 48)]
    alone = [finding(one, "beats").value for one in single]
    beats = finding(found, "beats")
    assert beats.value == pytest.approx(np.mean(alone), abs=2e-6)
    assert beats.low < beats.value < beats.high


def test_measurements_have_every_metric_by_seed():
    found = case(FLOOR, THREE, base=(24, 36, 48))
    document = measurements(found, evaluate(found)[1])
    assert document["metrics"]["base"]["accuracy"]["value"] == 0.85
    row = next(r for r in document["seeds"]["scores"] if (r["model"], r["metric"]) == ("base", "accuracy"))
    assert (row["each"], row["deviation"]) == ([0.9, 0.85, 0.8], 0.05)
    assert row["row_error"] == pytest.approx((0.9 * 0.1 / N) ** 0.5, rel=0.1)
    losses = next(r for r in document["seeds"]["differences"] if (r["against"], r["metric"]) == ("tfidf", "log_loss"))
    assert min(losses["each"]) > 0, "above 0 is better for every metric"


# --- what cannot be judged ---------------------------------------------------------------------------------------


def test_a_seed_whose_training_went_wrong_fails_with_its_rows_named():
    found = case(FLOOR, THREE)
    broken = replace(found, seeds={"adapted": (answers(1), answers(1)), "base": (answers(1), answers(1, ("r001", "r002")))})
    verdict, comparison = evaluate(broken)
    assert (verdict.outcome, comparison) == ("fail", None)
    assert sentence(verdict.findings[0]) == (
        "the fine-tuned-only model gives probabilities that are not finite under seed 3 for rows r001, r002; its training went wrong, "
        "and nothing was compared."
    )


def test_seeds_that_were_not_trained_leave_the_question_open_and_those_of_other_rows_are_an_error():
    missing = finding(replace(case(FLOOR, THREE), seeds=None), "seeds")
    assert (missing.outcome, missing.value) == ("inconclusive", None)
    assert "were not trained" in sentence(missing)
    short = Predictions(IDS[1:], TRUTH[1:], TRUTH[1:], (), np.full((N - 1, 3), 1 / 3, dtype=np.float32), LABELS)
    with pytest.raises(EnvironmentFault, match=r"the predictions of base seed 2 lack 1 of .* rows, the first is 'r000'"):
        judge(replace(case(FLOOR, THREE), seeds={"adapted": (answers(1), answers(1)), "base": (short, answers(1))}))


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ([{"seeds": 3}, {"at_least": 0.3}, {"seeds": 5}], "`seeds: 3` and `seeds: 5` stand there; the number of seeds is one"),
        ([{"seeds": 2}], "greater than or equal to 3"),
        ([{"seeds": 3, "metric": "accuracy"}], "`seeds` does not read `metric`; take it out"),
        ([{"seeds": 3, "at_least": 0.3}], "a gate has exactly one of"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(gates, says):
    with pytest.raises(ValidationError, match=says):
        PipelineOptions.model_validate({"version": 1, "base_model": "m", "data": {"corpus": "c", "labelled": "l"}, "gates": gates})


# --- power -------------------------------------------------------------------------------------------------------


def wide(error: float, seed_error: float, detectable: float, value: float = 0.02) -> SeededMeasured:
    return SeededMeasured(value, -0.02, 0.06, 0.0, 0.95, 0.8, detectable, each=(value,) * 3, error=error, seed_error=seed_error)


def undecided(measured: SeededMeasured) -> str:
    return asked_for({**facts_of(measured), **needed(100, measured)})


def test_more_rows_shrink_the_noise_of_the_rows_and_not_that_of_the_seeds():
    # Half of the variance 2 is the seeds'. To see 1.0 with 2.0 * error, error^2 has to fall to 1.5^2 / 4 ...
    assert more_rows(100, wide(2**0.5, 0.0, 2 * 2**0.5, value=2.0)) == pytest.approx(100 * 2 / 1)
    assert more_rows(100, wide(2**0.5, 0.5**0.5, 2 * 2**0.5, value=2.0)) == pytest.approx(100 * 1.5 / 0.5)
    assert more_rows(100, wide(2**0.5, 1.0, 2 * 2**0.5, value=2.0)) is None
    assert (
        undecided(wide(2**0.5, 0.0, 2 * 2**0.5, value=2.0))
        == "; undecided; label about 100 more test rows, and a decision is likely (80 %)"
    )
    assert "ask for more `seeds`" in undecided(wide(2**0.5, 1.0, 2 * 2**0.5, value=2.0))


def test_resamples_are_means_of_the_drawn_seeds():
    rows: dict[str, Floats] = {repeats.seed_name("base", n): np.full(50, float(n)) for n in (1, 2, 3)}
    found = Repeats(3, two_recipes(np.random.default_rng(0), 9, 3, 0.0), 17).drawn(rows)["base"]
    assert set(found.tolist()) == {1.0, 1.5, 2.0, 2.5, 3.0}, "means of two of three"


def test_a_gate_on_clean_rows_judges_the_mean_of_the_seeds_on_them():
    read = {row: Overlap("exact" if n < 24 else None, "train" if n < 24 else None, float(n < 24), None) for n, row in enumerate(IDS)}
    clean = FLOOR.model_copy(update={"rows": "clean"})
    found = replace(case(clean, THREE, base=(24, 36, 48)), evidence={"overlap": read})
    floor = finding(found, "at_least")
    assert (floor.n, floor.value) == (216, round(1 - 12 / 216, 6)), "0, 12 and 24 of 216 rows wrong"
    assert "the mean of 3 seeds" in sentence(floor)
