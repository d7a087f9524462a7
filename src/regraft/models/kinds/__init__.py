"""Kinds of models: one file each, and the only code that makes a model folder answer.

Dev scores in training, the steps that score, ``predict``, the measurement of serving costs and the registered model in production
all read a folder through it. A folder says its kind in ``serving.json`` (``{"kind": "tfidf", ...}``); one that does not is
a ``sequence_classification``, as all of 0.2 are, and its digest is what it was.

A kind is a module (:class:`Kind`) whose file imports nothing of regraft, because the file itself travels with the registered model.
What all kinds share, also in production, is :mod:`regraft.models.served`: labels, columns, temperature, abstaining.

**To add one**: write the file; put its line into :data:`KINDS`, or, in a package of your own, an entry point of the group
``regraft.kinds`` that names the module; let what trains such a model write its folder, ``labels.json``, and ``serving.json`` by
:func:`describe`. Nothing else knows kinds by name.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regraft.models.served import Rows, Served

DEFAULT = "sequence_classification"
WITHOUT_ENCODER = frozenset({"ensemble", "tfidf"})
"""Kinds that have no encoder of their own."""
SERVING, SCHEMA = "serving.json", 1


class Model(Protocol):
    """What a kind's ``load`` gives: rows in, one number a label out."""

    def logits(self, rows: Rows, batch_size: int) -> NDArray[np.float32]:
        """``[rows, labels]`` before any temperature; a function of each row alone, whatever stands beside it and in whatever order.

        Rows are texts. Where the folder names a ``text_pair`` they are two texts with a mark between, or tuples for a kind whose module
        says ``PAIRS = True``; :mod:`regraft.models.served` has checked them.
        """

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[rows, labels]``, rows that sum to 1, of logits that a temperature may have divided."""


class Kind(Protocol):
    """The module of one kind: numpy and the standard library above, heavy imports inside functions, nothing of regraft."""

    REQUIREMENTS: Sequence[str]
    """Distributions that production needs beside mlflow, numpy and pandas. Without torch among them none is loaded."""

    def load(self, folder: Path, device: str | None) -> Model:
        """Read a folder: JSON, text and safetensors, never a pickle and never the network.

        :param device: ``cpu`` or ``cuda``; None: the best of this machine.
        """


KINDS: Registry[Kind] = Registry(
    "regraft.kinds",
    "kind of model",
    {
        DEFAULT: "regraft.models.kinds.sequence_classification",
        "embedding_head": "regraft.models.kinds.embedding_head",
        "verbalised": "regraft.models.kinds.verbalised",
        "tfidf": "regraft.models.kinds.tfidf",
        "ensemble": "regraft.models.kinds.ensemble",
    },
)


def kind_of(folder: Path) -> str:
    """The kind that ``folder`` says it is.

    :raises EnvironmentFault: it holds no readable ``serving.json``, or is of a kind that nothing installed here knows.
    """
    path = folder / SERVING
    try:
        name = str(json.loads(path.read_text(encoding="utf8")).get("kind", DEFAULT))
    except (OSError, ValueError, AttributeError) as fault:
        raise EnvironmentFault(
            f"the model in {folder} does not load: {path.name} does not say what it is: {fault}", fix="regraft doctor"
        ) from fault
    if name not in KINDS:
        known = ", ".join(KINDS)
        fix = "pip install the package that brings it, or a newer regraft"
        raise EnvironmentFault(f"the model in {folder} is of the kind {name!r}, which is not installed here; known: {known}", fix=fix)
    return name


def columns_of(folder: Path) -> tuple[str, ...]:
    """What the texts of a row are called that the model in ``folder`` reads, without loading it: one name, or two.

    :raises EnvironmentFault: the folder does not say.
    """
    try:
        serving = files.read_json(folder / SERVING)
        return tuple(str(serving[key]) for key in ("text_column", "text_pair") if key == "text_column" or key in serving)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise EnvironmentFault(f"{folder / SERVING} does not name the text column: {fault}", fix="regraft doctor") from fault


def file_of(name: str) -> Path:
    """The file of a kind, found without importing it.

    :raises EnvironmentFault: it has none, as a module in a zip has not.
    """
    module = KINDS.places[name]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise EnvironmentFault(f"the kind of model {name!r} ({module}) is no file, so it cannot travel with a model")
    return Path(spec.origin)


def load(folder: Path, device: str | None = "cpu") -> Served:
    """The model in ``folder``, whatever its kind.

    :raises EnvironmentFault: its kind is not known here. What else is wrong with a folder is raised as its libraries raise it.
    """
    from regraft.models import served

    return served.load(folder, KINDS[kind_of(folder)], device)


def describe(folder: Path, text_column: str, *, kind: str = DEFAULT, **more: object) -> None:
    """Write ``serving.json``: which column is read, of which kind the model is, and ``more`` that its kind reads there."""
    of_kind = {} if kind == DEFAULT else {"kind": kind}
    files.write_json(folder / SERVING, {"schema": SCHEMA, **of_kind, "text_column": text_column, **more})
