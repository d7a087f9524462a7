"""Two models on the same rows: which scores higher, by how much, and how sure that is.

A side is a run (its candidate), a registered version, or a named model of a run. Nothing is predicted here: answers
come from the evidence of runs and from the store of predictions, where today's champion was scored on today's rows.
Both sides have to have answered the very same rows, and the resamples are those of a verdict under the same seed, so
a comparison of a candidate with its champion repeats the numbers of a verdict on one seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.quantities import counted
from regraft.core.suggest import unknown
from regraft.evaluation import predictions
from regraft.evaluation.stats import unseen
from regraft.evaluation.stats.bootstrap import RESAMPLES, interval, replicates
from regraft.evaluation.stats.flips import Flips
from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Paired, Predictions, align
from regraft.gates import words
from regraft.gates.evidence import decision_in, unchanged
from regraft.registry.journal import challenger_of, champion_of
from regraft.registry.registration import registered
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
from regraft.reports import opening

SCHEMA = 1
SHOWN = 10
"""Flipped rows that are listed by id."""
HELP = "regraft compare --help"
_VERSION = re.compile(r"(?:models:/)?(?P<pipeline>[^/@:]+)(?:/(?P<version>\d+)|@(?P<alias>[^:]+))")
"""MLflow's own notation of a registered version."""


@dataclass(frozen=True)
class Side:
    """One model, and where its answers are."""

    said: str
    """What was typed."""
    pipeline: str
    run: str
    version: str | None
    """None: a run was named, not a version."""
    model: str
    """A candidate, tfidf or champion: its name in the run."""
    digest: str


@dataclass(frozen=True)
class Answers:
    """The answers of a side to one set of rows."""

    rows: str
    """Digest of the rows."""
    table: Predictions


@dataclass(frozen=True)
class Difference:
    """One metric of both sides; ``difference`` is b minus a, ``low`` and ``high`` the ends of its interval."""

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class FlippedRows(Flips):
    """b beside a, row by row, with ids."""

    lost_rows: tuple[str, ...]
    """Ids of up to ten rows that only a got right, smallest first."""
    gained_rows: tuple[str, ...]
    """The same of b."""


@dataclass(frozen=True)
class Example:
    """One row on which the two differ."""

    id: str
    text: str | None
    """None: neither run kept it (runs before 0.2)."""
    label: str
    a: str
    """What a answered."""
    b: str


@dataclass(frozen=True)
class Comparison:
    """The document of ``compare --json``: a function of the answers, the seed and the confidence."""

    a: Side
    b: Side
    rows: dict[str, Any]
    """``{digest, n}``"""
    seed: int
    resamples: int
    confidence: float
    metrics: tuple[Difference, ...]
    flips: FlippedRows
    opened: tuple[str, ...] = ()
    """What was typed of the sides whose answers to test rows were opened for this."""
    decisions: int | None = None
    """How many different questions those test rows have answered now; None where nothing was opened."""
    examples: tuple[Example, ...] = ()
    """The rows that are listed by id, with what was asked and answered."""


def compare(
    tracker: Tracker, a: str, b: str, *, metric: str | None = None, confidence: float = 0.95, open_test: bool = False
) -> Comparison:
    """Compare what was typed as ``a`` with ``b``; with ``open_test`` also candidates whose answers to test rows nobody has opened.

    Raises ``ConfigError`` for a name that nothing has and an unknown metric, ``EnvironmentFault`` for answers that are
    not there, are damaged, not finite, or about other rows.
    """
    sides = locate(tracker, a), locate(tracker, b)
    opened, count = [], None
    for side in sides:
        if (name := _closed(tracker, side)) is None:
            continue
        decision = decision_in(_evidence(tracker, side))
        if not open_test:
            raise opening.refuse(name, decision, side.run, f"regraft compare {a} {b}")
        count = opening.open_answers(tracker, name, decision, side.run)
        opened.append(side.said)
    one, two = _on_the_same_rows(tracker, *sides)
    paired = align({"a": one.table, "b": two.table})
    seed = decision_in(_evidence(tracker, sides[0]))["seed"]
    measured = {difference.metric: difference for difference in _differences(paired, seed, confidence)}
    if metric is not None and metric not in measured:
        raise ConfigError(unknown("metric", metric, measured), fix=HELP)
    wanted = (measured[metric],) if metric else tuple(measured.values())
    rows = {"digest": one.rows, "n": len(paired.ids)}
    flips = _flips(paired)
    examples = tuple(_examples(paired, (*flips.gained_rows, *flips.lost_rows), _texts(tracker, sides)))
    return Comparison(*sides, rows, seed, RESAMPLES, confidence, wanted, flips, tuple(opened), count, examples)


def _texts(tracker: Tracker, sides: Sequence[Side]) -> dict[str, str]:
    """id -> text of the test rows, as the run of either side kept them; empty where neither did."""
    import pyarrow.parquet as pq

    for side in sides:
        if (kept := _evidence(tracker, side) / "report" / "test.parquet").is_file():
            table = pq.read_table(kept, columns=["id", "text"])
            return dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return {}


def _examples(paired: Paired, ids: Sequence[str], texts: Mapping[str, str]) -> Iterator[Example]:
    place = {key: position for position, key in enumerate(paired.ids)}
    classes = (*paired.classes, "another label")
    for key in ids:
        label, a, b = (classes[int(numbers[place[key]])] for numbers in (paired.truth, paired.preds["a"], paired.preds["b"]))
        yield Example(key, texts.get(key), label, a, b)


# --- finding -----------------------------------------------------------------------------------------------------


def locate(tracker: Tracker, typed: str) -> Side:
    """The model that ``typed`` names.

    RUN or PIPELINE: the candidate; RUN:model: another model of the run; PIPELINE/3, PIPELINE@champion: a version.
    """
    if match := _VERSION.fullmatch(typed):
        return _version(tracker, typed, match["pipeline"], match["version"], match["alias"])
    name, _, model = typed.partition(":")
    if name.partition("-")[0] not in tracker.workspace.pipelines:
        raise ConfigError(unknown("pipeline", name.partition("-")[0], tracker.workspace.pipelines), fix="regraft status")
    run = tracker.find_run(name, decided=True)
    folder = tracker.download_evidence(run.name)
    candidate, digests = files.read_json(folder / "verdict.json")["candidate"], _digests(folder)
    model = model or candidate["name"]
    if model not in digests:
        raise ConfigError(unknown(f"model in {run.name} called", model, digests), fix=HELP)
    return Side(typed, run.pipeline, run.name, None, model, digests[model])


def _digests(evidence: Path) -> dict[str, str]:
    """``{model: digest}`` of every model that a run scored."""
    return _digests_in(decision_in(evidence))


def _digests_in(decision: dict[str, Any]) -> dict[str, str]:
    champion = {"champion": decision["champion"]["digest"]} if "champion" in decision["predictions"] else {}
    return {**decision["digests"], **champion}


def _version(tracker: Tracker, typed: str, pipeline: str, version: str | None, alias: str | None) -> Side:
    if pipeline not in tracker.workspace.pipelines:
        raise ConfigError(unknown("pipeline", pipeline, tracker.workspace.pipelines), fix="regraft status")
    entries = store_of(tracker.workspace).journal(pipeline).entries()
    if version is None:
        models = {"champion": champion_of(entries), "challenger": challenger_of(entries)}
        if alias not in models:
            raise ConfigError(unknown("alias", str(alias), models), fix=HELP)
        if (model := models[alias]) is None:
            raise ConfigError(f"'{pipeline}' has no {alias}", fix=f"regraft status {pipeline}")
        version = model["version"]
    entry = registered(entries, pipeline, version)
    folder = tracker.download_evidence(entry.run)
    names = [name for name, digest in _digests(folder).items() if digest == entry.digest]
    if not names:
        raise EnvironmentFault(f"{folder} holds no predictions of version {version} of '{pipeline}' ({entry.digest[:12]})")
    return Side(typed, pipeline, entry.run, version, names[0], entry.digest)


def _evidence(tracker: Tracker, side: Side) -> Path:
    return tracker.download_evidence(side.run)


def _on_the_same_rows(tracker: Tracker, a: Side, b: Side) -> tuple[Answers, Answers]:
    """The answers of both to one set of rows: that of b's run, of a's, or one on which either was scored later as champion."""
    one, two = _answers(tracker, a, a), _answers(tracker, b, b)
    if one.rows == two.rows:
        return one, two
    if later := _scored_elsewhere(tracker, a, b, two.rows):
        return later, two
    if later := _scored_elsewhere(tracker, b, a, one.rows):
        return one, later
    raise _other_rows(a, b, one.table, two.table)


def _named_in(decision: dict[str, Any], side: Side) -> str:
    """What a run calls the model of ``side``; of several names one under which its answers lie there."""
    names = [name for name, digest in _digests_in(decision).items() if digest == side.digest]
    return next((name for name in names if name in decision["predictions"]), names[0])


def _closed(tracker: Tracker, side: Side) -> str | None:
    """What its run calls a candidate whose answers to test rows nobody has opened; None: they are open."""
    decision = decision_in(_evidence(tracker, side))
    name = _named_in(decision, side)
    return None if name in decision["predictions"] or opening.stored(tracker, side.digest, decision["rows"]["digest"]) else name


def _answers(tracker: Tracker, side: Side, where: Side) -> Answers:
    """The answers of ``side``, by the evidence of ``where``'s run; bytes that the run did not decide on are refused."""
    evidence = _evidence(tracker, where)
    decision = decision_in(evidence)
    name, rows = _named_in(decision, side), decision["rows"]["digest"]
    if name not in decision["predictions"]:
        path = opening.stored(tracker, side.digest, rows)
        assert path is not None, "who is closed was refused before"
        return Answers(rows, _usable(side, path))
    path = unchanged(evidence / "predictions" / f"{name}.parquet", decision["predictions"][name])
    return Answers(rows, _usable(side, path))


def _scored_elsewhere(tracker: Tracker, side: Side, other: Side, rows: str) -> Answers | None:
    """The answers of ``side`` to the rows of ``other``'s run: there as champion, or in the store of predictions; None: there are none."""
    decision = decision_in(_evidence(tracker, other))
    if any(digest == side.digest and name in decision["predictions"] for name, digest in _digests_in(decision).items()):
        return _answers(tracker, side, other)
    stored = opening.stored(tracker, side.digest, rows)
    return Answers(rows, _usable(side, stored)) if stored else None


def _usable(side: Side, path: Path) -> Predictions:
    table = predictions.read(path).for_gates()
    if table.unusable:
        some = ", ".join(table.unusable[:3])
        raise EnvironmentFault(f"{side.said}: probabilities are not finite for {len(table.unusable):,} rows, the first are {some}")
    return table


def _other_rows(a: Side, b: Side, one: Predictions, two: Predictions) -> EnvironmentFault:
    common = len(set(one.ids) & set(two.ids))
    message = f"{a.said} was scored on {len(one.ids):,} rows and {b.said} on {len(two.ids):,}; they have {common:,} ids in common"
    if common == len(one.ids) == len(two.ids):
        message += ", but the texts or labels of some differ"
    fix = f"regraft run {b.pipeline}"
    return EnvironmentFault(f"{message}, and a paired comparison needs the same rows. A run scores the champion on today's", fix=fix)


# --- measuring: pure ---------------------------------------------------------------------------------------------


def _differences(paired: Paired, seed: int, confidence: float) -> Iterator[Difference]:
    a, b = scores(paired, "a"), scores(paired, "b")
    for metric, models in replicates(paired, seed=seed, resamples=RESAMPLES).items():
        ends = interval(models["b"] - models["a"], confidence)
        low, high = unseen.opened(ends, b[metric] - a[metric], len(paired.ids), confidence, -1.0, 1.0)
        yield Difference(metric, *map(rounded, (a[metric], b[metric], b[metric] - a[metric], low, high)))


def _flips(paired: Paired) -> FlippedRows:
    lost, gained = (tuple(sorted(paired.ids_of(rows))[:SHOWN]) for rows in (paired.lost("b", "a"), paired.gained("b", "a")))
    return FlippedRows(**asdict(Flips.of(paired, "b", "a")), lost_rows=lost, gained_rows=gained)


# --- telling -----------------------------------------------------------------------------------------------------


def document(comparison: Comparison) -> dict[str, Any]:
    """What ``compare --json`` prints."""
    flips = comparison.flips
    sides = {
        "only_a_right": flips.lost,
        "only_b_right": flips.gained,
        "both_right": flips.both_right,
        "both_wrong": flips.both_wrong,
        "p": flips.p,
        "only_a_rows": flips.lost_rows,
        "only_b_rows": flips.gained_rows,
    }
    return {"schema": SCHEMA, **asdict(comparison), "flips": sides}


def conclusion(difference: Difference, confidence: float) -> str:
    """One metric in a sentence."""
    name = words.METRICS.get(difference.metric, difference.metric)
    spread = f"{words.number(difference.low)} to {words.number(difference.high)}"
    interval_text = f"the {confidence * 100:g} % interval of B - A, {spread}"
    if difference.low <= 0 <= difference.high:
        return f"{name}: no difference is shown; {interval_text}, contains 0."
    better = "B" if difference.difference > 0 else "A"
    return f"{name}: {better} is better by {words.number(abs(difference.difference))}; {interval_text}, does not contain 0."


def described(side: Side) -> str:
    """A side for people."""
    what = f"version {side.version}" if side.version else side.model
    return f"{what} of {side.run} ({side.digest[:12]})"


def flip_lines(comparison: Comparison) -> Iterator[str]:
    """The flips, a line each, and below them rows with their texts."""
    flips, of = comparison.flips, {example.id: example for example in comparison.examples}
    same = f"{flips.both_right:,} right in both, {flips.both_wrong:,} wrong in both"
    turned = f"{flips.gained:,} right only in B, {flips.lost:,} right only in A"
    yield f"Row by row: {turned}, {same} (exact McNemar p = {flips.p:.2g})"
    for name, count, rows in (("B", flips.gained, flips.gained_rows), ("A", flips.lost, flips.lost_rows)):
        if rows:
            yield f"  right only in {name}: {counted(count, 'row')}" + (f", the first {len(rows)}" if count > len(rows) else "")
            for key in rows:
                example = of[key]
                text = f"  {' '.join(example.text.split())}" if example.text is not None else ""
                wrong = example.b if name == "A" else example.a
                yield f"    {key}  {example.label}, not {wrong}{text}"
