"""Making a model for the task from labelled rows: the method trains, and what it leaves is calibrated as it will be served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.core import files, progress
from regraft.core.errors import DataRejected
from regraft.core.quantities import counted
from regraft.data.dedup import normalise
from regraft.data.pairs import apart
from regraft.evaluation import temperature
from regraft.models import kinds, tokenizer
from regraft.models.task_types import task_type
from regraft.training import lengths as text_lengths
from regraft.training.options import MethodOptions
from regraft.training.plugins import METHODS, Learning

if TYPE_CHECKING:
    import pandas as pd


def finetune(
    source: Path | None,
    rows: pd.DataFrame,
    labels: Sequence[str],
    options: MethodOptions,
    *,
    name: str,
    text_column: str,
    seed: int,
    out: Path,
    precision: float | None = None,
    task: str = "text-classification",
    text_pair: str | None = None,
    models: Mapping[str, Path] | None = None,
    documents: Path | None = None,
    tasks: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> dict[str, float]:
    """Train a model by the method of ``options``, on the encoder in ``source``, and write its folder to ``out``.

    :param source: None for a method that reads no encoder.
    :param rows: columns id, text, label, split; ``train`` is trained on, ``dev`` calibrated and measured on; of ``test`` only the
        lengths are told.
    :param precision: the share of right answers below which the model abstains (:mod:`regraft.evaluation.temperature`);
        None: it never does.
    :param text_pair: what the second text is called where the model is served; None: ``text`` is one text. Else it is two
        (:mod:`regraft.data.pairs`), and methods find them in the columns ``first`` and ``second`` as well.
    :param tasks: (text, label) of the rows of other tasks that the method learns. One whose text is that of a dev or test row is left out.
    :param models: and ``documents``, what a method reads that is made of other candidates (:class:`Learning`).
    :returns: rows, tokens and steps trained, what is cut of texts (:mod:`regraft.training.lengths`), the temperature, and
        ``dev_macro_f1``, ``dev_accuracy``, ``dev_loss`` of dev rows.
    :raises DataRejected: there is no training row, or no dev row for a model that is to abstain.
    :raises ConfigError: the encoder has fewer positions than ``options.max_length``.
    """
    splits = {split: rows[rows["split"] == split] for split in ("train", "dev", "test")}
    if splits["train"].empty:
        raise DataRejected("no labelled row is left for training", fix="add rows to data.labelled, or lower split.test and split.dev")
    if precision is not None and splits["dev"].empty:
        raise DataRejected("no dev row is left to choose the threshold of `abstain` on", fix="add dev rows, or take `abstain` out")
    if text_pair is not None:
        splits = {split: _apart(part) for split, part in splits.items()}
    training, dev = splits["train"], splits["dev"]
    method, lengths = METHODS[options.method], dict[str, float]()
    if source is not None:
        options, lengths = text_lengths.measured(options, task_type(task), source, splits)
        if warning := text_lengths.warning(lengths):
            progress.warn_once(warning)
    held_out = {normalise(text) for split in ("dev", "test") for text in splits[split]["text"]}
    others = {other: _learned(other, pairs, held_out) for other, pairs in (tasks or {}).items()}
    measured = method.train(Learning(name, source, training, dev, labels, task, seed, out, models or {}, documents, others), options)
    files.write_json(out / "labels.json", list(labels))
    second = {} if text_pair is None else {"text_pair": text_pair}
    of_task = task_type(task).serving(out, labels) if method.kind == kinds.DEFAULT else {}
    if second and method.kind == kinds.DEFAULT:
        tokenizer.without_types(out)
    kinds.describe(out, text_column, **{"kind": method.kind, **second, **_told_already(out), **method.describe(options), **of_task})
    return {"rows": len(training), **measured, **lengths, **calibrated(out, dev, labels, precision)}


def _learned(name: str, pairs: Sequence[tuple[str, str]], held_out: Collection[str]) -> pd.DataFrame:
    """The rows of another task: columns id, text, label. Without those whose text is ``held_out``, which are told."""
    import pandas as pd

    kept = [(f"{name}:{place}", text, label) for place, (text, label) in enumerate(pairs) if normalise(text) not in held_out]
    if left_out := len(pairs) - len(kept):
        rows = counted(left_out, "row")
        progress.warn_once(f"{rows} of the task {name} {'has' if left_out == 1 else 'have'} the text of a dev or test row and are left out")
    if len({label for *_, label in kept}) < 2:
        raise DataRejected(f"of the task {name} no two classes are left to learn", fix="add rows to it, or take it out of finetune.tasks")
    return pd.DataFrame(kept, columns=["id", "text", "label"])


def _told_already(out: Path) -> dict[str, Any]:
    """What a method wrote of the model itself, because it follows from no option: of a mean of weights what their folders said."""
    path = out / kinds.SERVING
    told = files.read_json(path) if path.is_file() else {}
    return {key: value for key, value in told.items() if key not in ("schema", "kind", "text_column", "text_pair")}


def _apart(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with the two texts of each in the columns ``first`` and ``second`` as well."""
    pairs = [apart(text) for text in rows["text"]]
    return rows.assign(first=[first for first, _ in pairs], second=[second for _, second in pairs])


def calibrated(folder: Path, rows: pd.DataFrame, labels: Sequence[str], precision: float | None) -> dict[str, float]:
    """Calibrate the saved classifier on ``rows``, through the code that will serve it, and measure it there.

    :returns: temperature, and macro-F1, accuracy and mean loss as it is served, where there are rows.
    """
    from sklearn.metrics import f1_score

    number = {label: i for i, label in enumerate(labels)}
    truth = np.asarray([number[label] for label in rows["label"]], dtype=np.int64)
    logits = kinds.load(folder).logits(rows["text"].tolist())
    calibration = temperature.calibrate(logits.astype(np.float64), truth, precision)
    calibration.write(folder)
    if calibration.dev_loss is None:
        return calibration.metrics()
    chosen = logits.argmax(axis=1)
    return {
        **calibration.metrics(),
        "dev_rows": len(rows),
        "dev_macro_f1": float(f1_score(truth, chosen, average="macro")),
        "dev_accuracy": float((chosen == truth).mean()),
        "dev_loss": calibration.dev_loss,
    }
