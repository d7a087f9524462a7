"""The files that probing gates name: read and checked when the pipeline is resolved, so that a fault in one is a fault of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from regraft.config.pipeline import PipelineOptions
from regraft.config.pipeline_file import pipeline_document
from regraft.core.errors import Problem
from regraft.core.strict import Strict
from regraft.core.suggest import nearest
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import faulty, line_of, problem_of, read_yaml
from regraft.evaluation.probe_labels import guess
from regraft.evaluation.probe_options import IdentityTerms, TemplateFile

DEFAULT_TERMS = Path(__file__).parent / "identity_terms.yaml"
F = TypeVar("F", bound=Strict)


def read_probe_files(workspace: Workspace, pipeline: str, options: PipelineOptions, labels: Sequence[str] | None = None) -> dict[str, Any]:
    """``{question: the JSON-able content of its file}``; ConfigError for a file that is not there or has faults.

    :param labels: those that the data contract lists; None: it lists none.
    """
    contents: dict[str, Any] = {}
    for number, gate in enumerate(options.gates):
        if gate.templates:
            path = _place(workspace, pipeline, gate.templates.file, f"gates.{number}.templates.file")
            contents["templates"] = _read(path, gate.templates.file, TemplateFile)["tests"]
            if labels is not None:
                _require_labels(path, gate.templates.file, contents["templates"], labels)
        elif gate.counterfactual:
            terms = gate.counterfactual.terms
            is_own = terms != "default"
            path = _place(workspace, pipeline, terms, f"gates.{number}.counterfactual.terms") if is_own else DEFAULT_TERMS
            contents["counterfactual"] = _read(path, terms, IdentityTerms)["terms"]
    return contents


def _place(workspace: Workspace, pipeline: str, named: str, key: str) -> Path:
    """Where the file lies that ``key`` names, or a fault of the pipeline file."""
    path = workspace.root / named
    if path.is_file():
        return path
    shown = workspace.relative(workspace.pipeline_file(pipeline))
    node = pipeline_document(workspace, pipeline)[1]
    row = line_of(node, [int(part) if part.isdigit() else part for part in key.split(".")])
    siblings = [item.name for item in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    message = f"{key}: {named} is {'a folder' if path.is_dir() else 'not there'}"
    message += f"; did you mean {workspace.relative(path.parent / near)}?" if (near := nearest(path.name, siblings)) else ""
    fix = f"write {named}, or edit {shown}" + (f", line {row}" if row else "")
    raise faulty([Problem(message=message, file=shown, row=row, column=key, value=named, rule="file exists", fix=fix)])


def _read(path: Path, shown: str, model: type[F]) -> dict[str, Any]:
    value, node = read_yaml(path, shown)
    try:
        return model.model_validate(value).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        problems = [problem_of(item, shown, node, model) for item in error.errors()]
    raise faulty(problems)


def _require_labels(path: Path, shown: str, tests: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """A fault for every test that expects a label that the data contract does not list."""
    problems, node = [], read_yaml(path, shown)[1]
    for number, label in [(number, test["label"]) for number, test in enumerate(tests) if "label" in test]:
        if label not in labels:
            key, row = f"tests.{number}.label", line_of(node, ["tests", number, "label"])
            message = f"{key}: the data contract lists no label {label!r}{guess(label, labels)}"
            place = {"file": shown, "row": row, "column": key, "value": label}
            problems.append(Problem(message=message, rule="label exists", fix=f"edit {shown}, line {row}", **place))
    if problems:
        raise faulty(problems)
