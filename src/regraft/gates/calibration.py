"""How far a model's probabilities are from how often it is right: ECE, the Brier score, and what is left when it abstains.

**ECE** (Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, section 3) of the best label: rows are sorted by its
probability and cut into bins of equally many rows (Nixon et al. 2019, "Measuring Calibration in Deep Learning"),
``sum over bins of |sum over rows of (right - p)| / n``. Noise never cancels under an absolute value, so the plain
number is too high: 0.039 where the truth is 0, of 800 rows in 15 bins. And a resample adds the noise once more: a
percentile interval of a model without error lay above 0 in all of 200 simulations. Hence

- the value: less the bias that the bootstrap shows, ``2 * ece - mean(ece*)``;
- the upper end: the basic bootstrap's, ``2 * ece - q(ece*)`` (Davison & Hinkley 1997, section 5.2);
- the lower end: ``ece - q(sum over bins of |d* - d|)``, which by the triangle inequality is below the truth as often as
  it says, however near to 0 the truth is.

**Brier score** for K classes (Brier 1950): mean over rows of ``sum over classes of (p - [class is true])^2``, 0 to 2; all
classes the model knows count, also those that no test row has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.evaluation.stats.bootstrap import interval, row_counts
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.paired import Floats, Ints
from regraft.evaluation.stats.power import POWER, detectable
from regraft.evaluation.stats.proportions import wilson
from regraft.gates import words
from regraft.gates.budgets import Held, finding
from regraft.gates.options import GateOptions
from regraft.gates.verdict import Finding

if TYPE_CHECKING:
    from regraft.gates.comparison import Court

MOST_BINS, FEWEST_BINS, ROWS_A_BIN = 15, 5, 50
"""15 is Guo et al.'s number; fewer where bins would have fewer than 50 rows."""
CONFIDENCE = 0.95
"""Of what is reported where no gate asks."""


@dataclass(frozen=True)
class Sure:
    """What one model was sure of, rows in the order of ``Court.paired``."""

    p: Floats
    """[n] probability of the best label."""
    right: Floats
    """[n] 1 or 0."""
    brier: Floats
    """[n]"""
    bins: Ints
    """[n] bin of each row, the least sure first."""

    @property
    def n(self) -> int:
        return len(self.p)

    @property
    def count(self) -> int:
        """Of the bins; each has a row."""
        return int(self.bins.max()) + 1

    @cached_property
    def gaps(self) -> Floats:
        """[n] what each row adds to its bin's gap between right and p."""
        return (self.right - self.p) / self.n

    def drawn(self, times: Ints) -> tuple[Floats, Floats]:
        """``times``: [block, n] how often each row was drawn -> [block, bins] gaps and [block] Brier scores.

        No matrix products: BLAS adds in another order on every processor.
        """
        by_bin = np.argsort(self.bins, kind="stable")
        starts = np.searchsorted(self.bins[by_bin], np.arange(self.count))
        gaps = np.add.reduceat(np.take(times, by_bin, axis=1) * self.gaps[by_bin], starts, axis=1)
        return gaps, (times * (self.brier / self.n)).sum(axis=1)


def sure(court: Court, model: str) -> Sure | None:
    """Of ``model``; None where it gave no probabilities."""
    said = court.case.predictions[model]
    if said.p is None:
        return None
    place = {row: position for position, row in enumerate(said.ids)}
    order = [place[row] for row in court.paired.ids]
    p = np.asarray(said.p, dtype=np.float64)[order]
    column = {label: number for number, label in enumerate(said.columns)}
    truth = np.array([column.get(said.labels[i], -1) for i in order])
    known = truth >= 0
    of_truth = np.where(known, p[np.arange(len(p)), truth], 0.0)
    right = np.array([said.labels[i] == said.preds[i] for i in order], dtype=np.float64)
    best = p.max(axis=1)
    return Sure(best, right, (p**2).sum(axis=1) - 2 * of_truth + 1, equal_mass(best))


def equal_mass(p: Floats) -> Ints:
    """[n] bin of each row, of equally many rows; rows that are equally sure share a bin, so ties can leave fewer or uneven ones."""
    n = len(p)
    count = min(MOST_BINS, max(FEWEST_BINS, n // ROWS_A_BIN), n)
    cuts = np.sort(p)[np.arange(1, count) * n // count]
    return np.unique(np.searchsorted(cuts, p, side="right"), return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Calibrated:
    """ECE and Brier score of one model, each with its interval; ``plain_ece`` before the bias was taken off."""

    sure: Sure
    ece: Measured
    brier: Measured
    plain_ece: float


def measure(court: Court, found: Sure, confidence: float, max_ece: float = 0.0, max_brier: float = 0.0) -> Calibrated:
    """Both numbers on the verdict's own resamples."""
    policy = court.case.policy
    drawn = [found.drawn(times) for _, times in row_counts(court.paired, seed=policy.seed, resamples=policy.resamples)]
    gaps, brier = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    here = np.bincount(found.bins, weights=found.gaps)
    plain, eces = float(np.abs(here).sum()), np.abs(gaps).sum(axis=1)
    noise = np.abs(gaps - here).sum(axis=1)
    low, high = max(0.0, plain - interval(noise, confidence)[1]), max(0.0, 2 * plain - interval(eces, confidence)[0])
    value = min(max(2 * plain - float(eces.mean()), low), high)
    power = policy.power or POWER
    effect = detectable(float(eces.std()), confidence, power)
    ece = Measured(rounded(value), rounded(low), rounded(high), rounded(max_ece), confidence, power, rounded(effect))
    mean = float(found.brier.mean())
    return Calibrated(found, ece, court.measured(mean, brier, np.array([mean]), max_brier, confidence), rounded(plain))


def judge(court: Court, gate: GateOptions) -> Finding:
    """The finding of a ``calibration`` gate."""
    asked, name = gate.calibration, words.MODELS[court.candidate]
    found = sure(court, court.candidate)
    if asked is None or found is None:
        return Finding.in_words(
            "calibration", court.n, "inconclusive", f"{name} gave no probabilities, so nothing is known of their calibration."
        )
    parts: list[tuple[Held, str]] = []
    if asked.max_ece or asked.max_brier:
        measured = measure(court, found, gate.confidence, asked.max_ece or 0.0, asked.max_brier or 0.0)
        parts += _budgets(measured, asked.max_ece, asked.max_brier)
    if asked.min_coverage:
        if (abstain := _abstain(court)) is None:
            return Finding.in_words(
                "calibration",
                court.n,
                "inconclusive",
                f"{name} has no threshold below which it abstains: it was trained before `abstain` was asked for.",
            )
        parts.append((_coverage(court, found, abstain, asked.min_coverage, gate.confidence), words.percent(asked.min_coverage)))
    return finding("calibration", f"{name} on {court.n:,} test rows: ", parts)


def _budgets(found: Calibrated, max_ece: float | None, max_brier: float | None) -> Iterator[tuple[Held, str]]:
    n, bins = found.sure.n, found.sure.count
    over = f"{bins} bins of equally many rows" if bins > 1 else "1 bin of all rows"
    if max_ece:
        said = f"probabilities are off by {words.number(found.ece.value)} (ECE over {over}, "
        yield Held("ece", found.ece, n, f"{said}{words.spread(found.ece)})", open_end=words.undecided(n, found.ece)), words.number(max_ece)
    if max_brier:
        said = f"the Brier score is {words.number(found.brier.value)} ({words.spread(found.brier)})"
        yield Held("brier", found.brier, n, said, open_end=words.undecided(n, found.brier)), words.number(max_brier)


def _abstain(court: Court) -> dict[str, Any] | None:
    """What the candidate's folder says of abstaining."""
    said = (court.case.calibration or {}).get(court.candidate) or {}
    return said.get("abstain")


def _coverage(court: Court, found: Sure, abstain: dict[str, Any], least: float, confidence: float) -> Held:
    answered = found.p >= abstain["below"]
    count, hits, n = int(answered.sum()), int(found.right[answered].sum()), found.n
    share, (low, high) = count / n, wilson(count, n, confidence)
    error = sqrt(max(share, 1 / n) * max(1 - share, 1 / n) / n)
    power = court.case.policy.power or POWER
    effect = rounded(detectable(error, confidence, power))
    measured = Measured(rounded(share), rounded(low), rounded(high), rounded(least), confidence, power, effect)
    said = f"{words.percent(share)} are answered ({confidence * 100:.4g} % interval {words.percent(low)} to {words.percent(high)})"
    if count:
        low, high = wilson(hits, count, confidence)
        said += f", and {words.percent(hits / count)} of those right ({words.percent(low)} to {words.percent(high)}; "
        said += f"{words.percent(abstain['precision'])} wanted)"
    return Held("coverage", measured, n, said, floor=True, open_end=words.undecided(n, measured))


def measurements(court: Court | None) -> dict[str, Any]:
    """``{"calibration": ...}`` of the candidate for ``measurements.json``; nothing where neither a gate nor `abstain` asks."""
    asked = court is not None and (court.case.calibration or any(gate.calibration for gate in court.case.policy.gates))
    if court is None or not asked or (found := sure(court, court.candidate)) is None:
        return {}
    gate = next((gate for gate in court.case.policy.gates if gate.calibration), None)
    confidence = gate.confidence if gate else CONFIDENCE
    measured, said = measure(court, found, confidence), (court.case.calibration or {}).get(court.candidate) or {}
    document = {
        "model": court.candidate,
        "rows": found.n,
        "confidence": confidence,
        "temperature": said.get("temperature"),
        "ece": {**_number(measured.ece), "plain": measured.plain_ece},
        "brier": _number(measured.brier),
        "bins": list(_bins(found, confidence)),
    }
    if abstain := said.get("abstain"):
        document["abstain"] = {**abstain, **_answered(found, abstain["below"], confidence)}
    return {"calibration": document}


def _number(found: Measured) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _share(hits: int, n: int, confidence: float) -> dict[str, float] | None:
    if not n:
        return None
    low, high = wilson(hits, n, confidence)
    return {"value": rounded(hits / n), "low": rounded(low), "high": rounded(high)}


def _bins(found: Sure, confidence: float) -> Iterator[dict[str, Any]]:
    """The reliability table, the least sure bin first."""
    for number in range(found.count):
        here = found.bins == number
        n = int(here.sum())
        yield {"rows": n, "p": rounded(float(found.p[here].mean())), "right": _share(int(found.right[here].sum()), n, confidence)}


def _answered(found: Sure, below: float, confidence: float) -> dict[str, Any]:
    answered = found.p >= below
    n = int(answered.sum())
    return {"answered": _share(n, found.n, confidence), "right": _share(int(found.right[answered].sum()), n, confidence)}
