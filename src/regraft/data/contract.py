"""The data contract: a subset of the Open Data Contract Standard 3 (ODCS), read strictly.

https://bitol-io.github.io/open-data-contract-standard/v3.2.0/ - the file stays a valid ODCS document, and every key
of it either has an effect here, is documentation, or is refused. What the rules amount to is a :class:`Contract`; it
is copied into the resolved file, so a changed description reruns nothing and a changed rule does.

Importable without pandas or Great Expectations: the command line reads contracts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError, field_validator, model_validator

from regraft.config import Strict, TaskOptions
from regraft.errors import ConfigError, Problem

Name = Annotated[StrictStr, Field(min_length=1)]


class Column(Strict):
    """The rules of one column. Values are strings; a missing value breaks `required` alone."""

    name: Name
    required: bool = False
    unique: bool = False
    min_length: int | None = None
    """In characters (Unicode code points)."""
    max_length: int | None = None
    pattern: str | None = None
    """A regular expression that is searched for, so anchor it with ^ and $."""
    valid_values: tuple[str, ...] | None = None


class Contract(Strict):
    """What labelled data has to look like. Columns it does not name are allowed and unchecked."""

    id: str
    version: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The rules of ``name``."""
        return next(column for column in self.columns if column.name == name)

    def for_task(self, task: TaskOptions) -> Contract:
        """This contract with what training needs whatever it says: id, text and label present, ids unique.

        Raises :class:`ConfigError` if it has no such column.
        """
        names = [column.name for column in self.columns]
        for key, name in (("id", task.id), ("text", task.text), ("label", task.label)):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                guess = f"; did you mean {near[0]!r}?" if near else "."
                has = ", ".join(names)
                raise ConfigError(f"task.{key} is {name!r}, which the contract {self.id!r} does not describe{guess} It has {has}")
        forced = {task.id: {"required": True, "unique": True}, task.text: {"required": True}, task.label: {"required": True}}
        return self.model_copy(update={"columns": tuple(c.model_copy(update=forced.get(c.name, {})) for c in self.columns)})


class _Odcs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Options(_Odcs):
    minLength: Annotated[StrictInt, Field(ge=0)] | None = None
    maxLength: Annotated[StrictInt, Field(ge=1)] | None = None
    pattern: StrictStr | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _some_length_is_possible(self) -> Self:
        if self.minLength is not None and self.maxLength is not None and self.minLength > self.maxLength:
            raise ValueError(f"minLength ({self.minLength}) is above maxLength ({self.maxLength}): no text would pass")
        return self


class _EnumValue(_Odcs):
    value: Name
    label: str | None = None
    description: str | None = None


class _Property(_Odcs):
    name: Name
    logicalType: Literal["string"] = "string"
    required: StrictBool = False
    unique: StrictBool = False
    logicalTypeOptions: _Options = _Options()
    enum: Annotated[list[_EnumValue], Field(min_length=1)] | None = None
    description: str | None = None
    businessName: str | None = None
    examples: list[str] | None = None
    tags: list[str] | None = None

    @field_validator("enum")
    @classmethod
    def _each_value_once(cls, enum: list[_EnumValue] | None) -> list[_EnumValue] | None:
        _unique("value", [item.value for item in enum or ()])
        return enum


class _Table(_Odcs):
    name: Name
    properties: Annotated[list[_Property], Field(min_length=1)]
    description: str | None = None
    tags: list[str] | None = None

    @field_validator("properties")
    @classmethod
    def _each_column_once(cls, properties: list[_Property]) -> list[_Property]:
        _unique("column", [item.name for item in properties])
        return properties


class _Description(_Odcs):
    purpose: str | None = None
    usage: str | None = None
    limitations: str | None = None


class _Document(_Odcs):
    apiVersion: Literal["v3.2.0", "v3.1.0", "v3.0.2", "v3.0.1", "v3.0.0"]
    kind: Literal["DataContract"]
    id: Name
    version: Name
    status: Literal["proposed", "draft", "active", "deprecated", "retired"]
    tables: Annotated[list[_Table], Field(min_length=1, max_length=1, alias="schema")]
    name: str | None = None
    domain: str | None = None
    description: _Description | None = None
    tags: list[str] | None = None

    @model_validator(mode="after")
    def _enum_is_new(self) -> Self:
        if self.apiVersion != "v3.2.0" and any(item.enum for item in self.tables[0].properties):
            raise ValueError(f"`enum` came with ODCS v3.2.0; set apiVersion: v3.2.0 (it is {self.apiVersion})")
        return self


_LEVELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): _Document,
    ("description",): _Description,
    ("schema",): _Table,
    ("schema", "properties"): _Property,
    ("schema", "properties", "enum"): _EnumValue,
    ("schema", "properties", "logicalTypeOptions"): _Options,
}
"""Where in the file which keys are known, for "did you mean"."""


def _unique(kind: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{kind} {', '.join(map(repr, twice))} stands there more than once")


def load_contract(path: Path) -> dict[str, Any]:
    """The contract in ``path`` as a JSON-able dict; :class:`ConfigError` lists everything that is wrong with it."""
    from regraft.resolve import faulty, line_of, read_yaml

    shown = f"{path.parent.name}/{path.name}"
    value, node = read_yaml(path, shown)
    try:
        document = _Document.model_validate(value)
    except ValidationError as error:
        problems = [_problem(item, shown, line_of(node, item["loc"])) for item in error.errors()]
    else:
        return _contract(document).model_dump(mode="json", exclude_none=True)
    raise faulty(problems)


def _contract(document: _Document) -> Contract:
    return Contract(
        id=document.id,
        version=document.version,
        columns=tuple(
            Column(
                name=item.name,
                required=item.required,
                unique=item.unique,
                min_length=item.logicalTypeOptions.minLength,
                max_length=item.logicalTypeOptions.maxLength,
                pattern=item.logicalTypeOptions.pattern,
                valid_values=tuple(sorted(value.value for value in item.enum)) if item.enum else None,
            )
            for item in document.tables[0].properties
        ),
    )


def _problem(item: Any, shown: str, row: int | None) -> Problem:
    """One pydantic error in the words of someone who edits YAML."""
    from regraft.resolve import reason

    where = item["loc"]
    key = ".".join(map(str, where))
    at = {"file": shown, "row": row, "column": key, "fix": f"edit {shown}" + (f", line {row}" if row else "")}
    value = item["input"] if isinstance(item["input"], str | int | float | bool) else None
    if item["type"] == "extra_forbidden":
        model = _LEVELS[tuple(part for part in where[:-1] if isinstance(part, str))]
        known = [field.alias or name for name, field in model.model_fields.items()]
        near = difflib.get_close_matches(str(where[-1]), known, n=1)
        message = f"{key}: unknown; " + (f"did you mean {near[0]}?" if near else f"here regraft reads {', '.join(known)}")
        return Problem(message=message, value=value, rule="known keys only", **at)
    if item["type"] == "missing":
        return Problem(message=f"{key}: missing", rule="required", **at)
    quote = "; put it in quotes" if item["type"] == "string_type" and value is not None else ""
    but = f", not {value!r}" if value is not None else ""
    message = f"{key}: {reason(item)}{but}{quote}"
    return Problem(message=message, value=value, rule=item["type"], **at)


def default_contract(task: TaskOptions) -> dict[str, Any]:
    """What holds without a contract file: id, text and label are there and no id stands twice."""
    columns = (Column(name=task.id, required=True, unique=True), *(Column(name=name, required=True) for name in (task.text, task.label)))
    return Contract(id="default", version="1", columns=columns).model_dump(mode="json", exclude_none=True)
