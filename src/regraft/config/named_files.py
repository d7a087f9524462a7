"""The files that lines of ``gates:`` name: read and checked when the pipeline is resolved, so that their faults are faults of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from regraft.config.pipeline import PipelineOptions
from regraft.config.pipeline_file import pipeline_document
from regraft.core import files
from regraft.core.errors import Problem
from regraft.core.suggest import nearest
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import faulty, line_of, problem_of, read_yaml
from regraft.gates.registry import gate_of


class NamedFiles:
    """The files of one line; what :class:`regraft.gates.protocol.Named` promises."""

    def __init__(self, workspace: Workspace, pipeline: str, position: int, labels: Sequence[str] | None, pairs: bool) -> None:
        self.labels, self.pairs = labels, pairs
        self.problems: list[Problem] = []
        self._workspace, self._pipeline, self._position = workspace, pipeline, position

    def digest(self, name: str, *key: str, otherwise: str = "") -> str:
        return digest_of(self._workspace, self._pipeline, name, ("gates", self._position, *key), otherwise)

    def content(self, name: str, model: Any, *key: str) -> dict[str, Any]:
        path = self._workspace.root / name
        if not path.is_file():
            fault = "a folder" if path.is_dir() else "not there"
            siblings = [item.name for item in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
            where: list[str | int] = ["gates", self._position, *key]
            raise faulty([_absent(self._workspace, self._pipeline, name, where, fault, siblings, f"write {name}, or edit")])
        return _read(path, name, model)

    def default(self, name: str, model: Any) -> dict[str, Any]:
        return _read(Path(__file__).parent / name, name, model)

    def fault(self, name: str, where: Sequence[str | int], message: str, value: Any, rule: str = "label exists") -> None:
        key, row = ".".join(map(str, where)), line_of(read_yaml(self._workspace.root / name, name)[1], where)
        place = {"file": name, "row": row, "column": key, "value": value}
        self.problems.append(Problem(message=f"{key}: {message}", rule=rule, fix=f"edit {name}, line {row}", **place))


def digest_of(workspace: Workspace, pipeline: str, name: str, where: Sequence[str | int], otherwise: str = "") -> str:
    """The digest of a file or folder that the pipeline file names at the place ``where``.

    :param otherwise: what can be done besides editing, added to the fix.
    :raises ConfigError: it is not there.
    """
    path = workspace.root / name
    if not path.exists():
        siblings = [other.name for other in path.parent.glob("*")]
        raise faulty([_absent(workspace, pipeline, name, where, "not there", siblings, "edit", otherwise)])
    return files.digest(path)


def _absent(
    workspace: Workspace,
    pipeline: str,
    name: str,
    where: Sequence[str | int],
    fault: str,
    siblings: Sequence[str],
    way_out: str,
    otherwise: str = "",
) -> Problem:
    path, shown = workspace.root / name, workspace.relative(workspace.pipeline_file(pipeline))
    row, column = line_of(pipeline_document(workspace, pipeline)[1], where), ".".join(map(str, where))
    message = f"{column}: {name} is {fault}"
    message += f"; did you mean {workspace.relative(path.parent / near)}?" if (near := nearest(path.name, siblings)) else ""
    fix = f"{way_out} {shown}" + (f", line {row}" if row else "") + otherwise
    return Problem(message=message, file=shown, row=row, column=column, value=name, rule="file exists", fix=fix)


def read_named(workspace: Workspace, pipeline: str, options: PipelineOptions, contract: Mapping[str, Any]) -> dict[str, Any]:
    """Gate -> what its ``reads`` made of the files that its line names. ConfigError for a file that is not there or has faults."""
    labels = next((column.get("valid_values") for column in contract["columns"] if column["name"] == options.task.label), None)
    contents: dict[str, Any] = {}
    for position, line in enumerate(options.gates):
        if (reads := gate_of(line).reads) is None:
            continue
        named = NamedFiles(workspace, pipeline, position, labels, options.task.text_pair is not None)
        contents[line.gate] = reads(line, named)
        if named.problems:
            raise faulty(named.problems)
    return contents


def _read(path: Path, shown: str, model: Any) -> dict[str, Any]:
    value, node = read_yaml(path, shown)
    try:
        return dict(model.model_validate(value).model_dump(mode="json", exclude_defaults=True))
    except ValidationError as error:
        problems = [problem_of(item, shown, node, model) for item in error.errors()]
    raise faulty(problems)
