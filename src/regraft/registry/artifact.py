"""A registered model as a folder: written so that production needs nothing of ours, verified byte by byte.

``MLmodel`` carries a manifest: sha256 of every file of the model's folder and of the code that serves it. The
model's digest follows from the manifest and stands in the journal, so a changed file is found and named, and
so is a changed manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault, Problem
from regraft.data.pairs import apart
from regraft.evaluation import temperature
from regraft.models import kinds

if TYPE_CHECKING:
    from mlflow.models import Model

_MODELS = Path(__file__).parents[1] / "models"
CODE, SERVED = _MODELS / "model_code.py", _MODELS / "served.py"
SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja", ".md"})
"""What a model's folder may hold: weights as safetensors, text, and SentencePiece vocabularies. Nothing that runs."""


def refuse_unsafe(folder: Path) -> None:
    """``ConfigError`` that names every file which a loader could execute or unpickle."""
    bad = [path for path in files.walk(folder) if path.suffix not in SUFFIXES]
    if bad or not any(path.suffix == ".safetensors" for path in files.walk(folder)):
        problems = [Problem(message="not a kind of file that is served", file=str(path), rule="safetensors only") for path in bad]
        names = ", ".join(path.relative_to(folder).as_posix() for path in bad) or "no *.safetensors file"
        raise ConfigError(f"{folder} cannot be registered: {names}; weights must be safetensors", problems=problems)


def requirements(kind: str) -> list[str]:
    """What production installs, pinned; without the local part of a version (``+cpu``), which is a choice of that machine."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", *kinds.KINDS[kind].REQUIREMENTS)]


def travelling(folder: Path) -> dict[str, Path]:
    """The modules that answer in production, under the names by which :mod:`regraft.models.model_code` asks for them.

    Those of an ensemble's members lie beside its own, where it looks for them.
    """
    members = sorted({kinds.kind_of(path.parent) for path in folder.glob(f"*/*/{kinds.SERVING}")})
    return {"kind": kinds.file_of(kinds.kind_of(folder)), "served": SERVED, **{f"kind_{name}": kinds.file_of(name) for name in members}}


def manifest(folder: Path) -> dict[str, Any]:
    """What ``MLmodel`` says about the bytes beside it."""
    below = f"artifacts/{folder.name}"
    served = {f"{below}/{name}": sha for name, sha in files.tree(folder).items()}
    code = {CODE.name: CODE, **{f"artifacts/{path.name}": path for path in travelling(folder).values()}}
    return {"folder": below, "files": {**served, **{name: files.sha256_file(path) for name, path in code.items()}}}


def save(model: Model, folder: Path, input_example: Sequence[str], path: Path) -> None:
    """Write the served model to ``path``. The signature's input is unnamed, because a named one refuses a plain list; pairs are named.

    Only a model that may abstain has a third output; callers of the others see what they always saw.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    kind, columns = kinds.kind_of(folder), kinds.columns_of(folder)
    abstains = [ColSpec("boolean", "abstains")] if "abstain" in (temperature.read(folder) or {}) else []
    mlflow.pyfunc.save_model(
        path=str(path),
        mlflow_model=model,
        python_model=str(CODE),
        artifacts={"model": str(folder), **{name: str(path) for name, path in travelling(folder).items()}},
        signature=ModelSignature(
            inputs=Schema([ColSpec("string", name) for name in columns] if len(columns) > 1 else [ColSpec("string")]),
            outputs=Schema([ColSpec("string", "label"), ColSpec("double", "score"), *abstains]),
            params=ParamSchema([ParamSpec("probabilities", DataType.boolean, False)]),
        ),
        input_example=_example(input_example, columns),
        pip_requirements=requirements(kind),
    )


def _example(texts: Sequence[str], columns: Sequence[str]) -> Any:
    """Texts as callers send them: a list, or a frame with a column for each text of a pair."""
    import pandas as pd

    return list(texts) if len(columns) == 1 else pd.DataFrame(list(map(apart, texts)), columns=list(columns))


def verify(root: Path, digest: str, name: str, fix: str) -> Path:
    """The model's folder below ``root``, proven to be ``digest``; an ``EnvironmentFault`` that names what differs.

    :param fix: what to type where it is not.
    """
    try:
        stored = yaml.safe_load((root / "MLmodel").read_text(encoding="utf8"))["metadata"]["regraft"]
        folder: Path = root / stored["folder"]
        expected: dict[str, str] = dict(stored["files"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise EnvironmentFault(f"{name}: {root / 'MLmodel'} cannot be read: {type(error).__name__}: {error}", fix=fix) from error
    problems = _differences(root, folder, expected)
    below = f"{stored['folder']}/"
    described = files.digest_of({path.removeprefix(below): sha for path, sha in expected.items() if path.startswith(below)})
    if described != digest:
        message = f"its manifest describes the model {described}, the journal {digest}"
        problems.append(Problem(message=message, file=str(root / "MLmodel"), rule="digest"))
    if problems:
        first = problems[0]
        raise EnvironmentFault(f"{name} is not what was registered: {first['file']}: {first['message']}", fix=fix, problems=problems)
    return folder


def _differences(root: Path, folder: Path, expected: dict[str, str]) -> list[Problem]:
    present = {path.relative_to(root).as_posix() for path in files.walk(folder)} if folder.is_dir() else set()
    problems = []
    for name in sorted(present | set(expected)):
        path = root / name
        actual = files.sha256_file(path) if path.is_file() else None
        if name not in expected:
            problems.append(Problem(message="it was not there when the model was registered", file=str(path), rule="extra"))
        elif actual is None:
            problems.append(Problem(message="it is missing", file=str(path), rule="missing"))
        elif actual != expected[name]:
            message = f"sha256 is {actual}, expected {expected[name]}"
            problems.append(Problem(message=message, file=str(path), value=actual, rule="sha256"))
    return problems
