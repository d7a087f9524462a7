"""From how many labels on fine-tuning is worth it, measured on a pipeline's own rows: two curves over training rows, answered on dev rows.

A subset of ``size`` rows a class is the beginning of an order of each class's rows, which follows from (seed, draw, id of the row) alone:
smaller ones lie in larger ones, and a new row moves no other. No test row is read. Models are thrown away once they have answered; their
answers wait beside the checkpoints, so that a step that was cut goes on in the training it was cut in (:mod:`regraft.training.seeds`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.core.progress import warn_once
from regraft.core.randomness import seed_of
from regraft.evaluation.predictions import Table
from regraft.evaluation.scoring import HeldOut
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.stats.switch import FEW, FULL, Key, SwitchPoint, switch_point
from regraft.training.finetuning import finetune
from regraft.training.options import MethodOptions
from regraft.training.seeds import repeat

if TYPE_CHECKING:
    import pandas as pd

CALLED = "switch_point"


def measure(
    source: Path,
    rows: pd.DataFrame,
    labels: Sequence[str],
    ways: Mapping[str, MethodOptions],
    sizes: Sequence[int],
    draws: int,
    *,
    seed: int,
    scratch: Path,
    told: Mapping[str, Any],
) -> tuple[dict[str, int | None] | None, dict[str, float]]:
    """What withholds candidates, ``few_to`` and ``full_from``, and the numbers for the record; None where the rows are too few.

    :param rows: columns id, text, label, split; ``train`` is learned from, ``dev`` answered.
    :param ways: the options of FEW and FULL.
    :param sizes: training rows a class; those that the rarest class does not have are left out.
    :param told: what else :func:`finetune` is told of the task.
    """
    train, dev = (rows[rows["split"] == split] for split in ("train", "dev"))
    rarest = int(train["label"].value_counts().reindex(list(labels), fill_value=0).min())
    possible = [size for size in sizes if size <= rarest]
    if len(possible) < 2 or dev.empty:
        has = f"the rarest class has {rarest:,} training rows and there are {len(dev):,} dev rows"
        warn_once(f"no switch point is measured: {has}, and it takes {sizes[1]} and some dev rows; the counts of `withhold` hold")
        return None, {"tokens": 0.0}

    def one(encoder: Path | None, name: str, own_seed: int, folder: Path) -> Mapping[str, float]:
        way, size, draw = _key(name.removeprefix(f"{CALLED}/"))
        part = subset(train, size, draw, seed)
        return finetune(encoder, part, labels, ways[way], name=name, seed=own_seed, out=folder, **told)

    models = {f"{way}-{size}": source for size in possible for way in (FEW, FULL)}
    done = repeat(one, models, draws + 1, HeldOut.of(dev), seed=seed, scratch=scratch, called=CALLED)
    answers = {_key(f"{each.model}-{each.number}"): _answers(each.answers) for each in done}
    point = switch_point(answers, seed=seed)
    document = {"few_to": point.few_to, "full_from": point.full_from}
    return document, {**numbers(point), "tokens": sum(each.tokens for each in done)}


def numbers(point: SwitchPoint) -> dict[str, float]:
    """``point`` as the record has it: what is infinite is left out."""
    at = {"value": point.value, "low": point.low, "high": point.high}
    scored = {f"{way}_{size}": score for way in (FEW, FULL) for size, score in zip(point.sizes, getattr(point, way), strict=True)}
    return {**scored, **{key: value for key, value in at.items() if math.isfinite(value)}, "draws": point.draws, "dev_rows": point.n}


def subset(train: pd.DataFrame, size: int, draw: int, seed: int) -> pd.DataFrame:
    """``size`` rows of each class of ``train``, in the order that they have there."""
    place = train["id"].map(lambda row: seed_of(seed, CALLED, draw, row))
    return train[place.groupby(train["label"]).rank(method="first") <= size]


def _key(name: str) -> Key:
    way, size, draw = name.split("-")
    return way, int(size), int(draw)


def _answers(table: Table) -> Predictions:
    return Predictions(table.ids, table.labels, table.preds)
