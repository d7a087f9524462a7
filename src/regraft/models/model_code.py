"""The served model: MLflow runs this file in production, where regraft is not installed.

Stored as code, never pickled ("models from code"), beside three artifacts: ``model``, the model's folder; ``kind``, the one-file
module that reads a folder of its kind (:mod:`regraft.models.kinds`); and ``served``, what all kinds have in common
(:mod:`regraft.models.served`). So what was measured before the promotion and what answers after it are the same code. Needs mlflow
and what the kind says (``REQUIREMENTS``).

In: strings, as a list or as a frame of one column; for a model that reads pairs, a frame of its two columns. Out: a frame with one
row a text: ``label`` and ``score``, its probability; with ``params={"probabilities": True}`` also ``probabilities``, a dict of every
label's. A model that was told to abstain says so in ``abstains``, a boolean; ``label`` is then its best guess.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Answers ``predict`` on plain strings."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model; MLflow demands the argument's name."""
        artifacts = context.artifacts
        self.served = _module(artifacts["served"]).load(artifacts["model"], _module(artifacts["kind"]))

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row a text; a ``ValueError`` for anything that is not a column of strings."""
        served = self.served
        p = served.predict(_pairs(model_input, served.columns) if served.text_pair else _texts(model_input, served.text_column))
        best = p.argmax(axis=1) if len(p) else []
        answer: dict[str, list[Any]] = {
            "label": [served.labels[i] for i in best],
            "score": [float(row[i]) for row, i in zip(p, best, strict=True)],
        }
        if (abstains := served.abstains(p)) is not None:
            answer["abstains"] = abstains.tolist()
        if params and params.get("probabilities"):
            answer["probabilities"] = [dict(zip(served.labels, map(float, row), strict=True)) for row in p]
        return pd.DataFrame(answer)


def _texts(frame: pd.DataFrame, text_column: str) -> list[str]:
    """The texts of a request. The signature names no column, so a frame ``[source, text]`` would pass it: refuse that here."""
    if list(frame.columns) not in ([0], [text_column]):
        raise ValueError(f"send a list of strings, or one column called {text_column!r}; got the columns {list(frame.columns)}")
    texts = frame.iloc[:, 0].tolist()
    for row, text in enumerate(texts):
        if not isinstance(text, str):  # None arrives here as NaN
            raise ValueError(f"row {row} is {text!r}, not a string")
    return texts


def _pairs(frame: pd.DataFrame, columns: tuple[str, ...]) -> list[tuple[str, str]]:
    """The pairs of a request, by the names of their columns, in whatever order these stand."""
    if set(frame.columns) != set(columns):
        first, second = columns
        raise ValueError(f"send a frame with the columns {first!r} and {second!r}; got the columns {list(frame.columns)}")
    pairs = list(zip(*(frame[column].tolist() for column in columns), strict=True))
    for row, pair in enumerate(pairs):
        for column, text in zip(columns, pair, strict=True):
            if not isinstance(text, str):
                raise ValueError(f"{column} of row {row} is {text!r}, not a string")
    return pairs


def _module(path: str) -> Any:
    """The module in the file ``path``, under a name of its own: two versions may be loaded in one process."""
    spec = importlib.util.spec_from_file_location(f"regraft_served_{abs(hash(path)):x}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it is being executed
    spec.loader.exec_module(module)
    return module


mlflow.models.set_model(ServedModel())
