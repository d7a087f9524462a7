"""The file of a data contract: a subset of the Open Data Contract Standard 3 (ODCS), read strictly.

https://bitol-io.github.io/open-data-contract-standard/v3.2.0/ - the file stays a valid ODCS document, and every key
of it either has an effect here, is documentation, or is refused. What its rules about rows amount to is a :class:`Contract`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from regraft.core.errors import Problem
from regraft.core.suggest import unknown_key
from regraft.data.contract import Column, Contract, Name, Severity
from regraft.data.languages import require_known


class _Odcs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Options(_Odcs):
    """Rules for the text of a column."""

    minLength: Annotated[StrictInt, Field(ge=0)] | None = None
    """Fewest characters (Unicode code points)."""
    maxLength: Annotated[StrictInt, Field(ge=1)] | None = None
    """Most characters (Unicode code points)."""
    pattern: StrictStr | None = None
    """A regular expression that is searched for, so anchor it with ^ and $."""

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
    """One value that a column may have."""

    value: Name
    """The value, as it stands in the data."""
    label: str | None = None
    """Its name for people; documentation."""
    description: str | None = None
    """What it means; documentation."""


class TextRule(_Odcs):
    """A rule for the text of a column that the standard has no key for."""

    rule: Literal["language", "tokens"]
    """`language`: broken by a text that is clearly in a language other than those of `any_of`, not by one that is too short to tell.
    `tokens`: how many tokens the base model makes of the text, counted as `finetune.max_length` counts them."""
    any_of: Annotated[list[Annotated[StrictStr, AfterValidator(require_known)]], Field(min_length=1)] | None = None
    """Of `language`: ISO 639 codes, such as `en`."""
    at_least: Annotated[StrictInt, Field(ge=1)] | None = None
    """Of `tokens`: fewest."""
    at_most: Annotated[StrictInt, Field(ge=1)] | None = None
    """Of `tokens`: most."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        limits = [name for name in ("at_least", "at_most") if getattr(self, name) is not None]
        if self.rule == "language" and (self.any_of is None or limits):
            raise ValueError("`language` needs `any_of`" if self.any_of is None else f"`language` takes no `{limits[0]}`")
        if self.rule == "tokens" and (not limits or self.any_of is not None):
            raise ValueError("`tokens` takes no `any_of`" if limits else "`tokens` needs `at_least` or `at_most`")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least ({self.at_least}) is above at_most ({self.at_most}): no text would pass")
        return self

    @property
    def kinds(self) -> list[str]:
        """The rules of :class:`Column` that it amounts to."""
        limits = {"min_tokens": self.at_least, "max_tokens": self.at_most}
        return ["language"] if self.rule == "language" else [kind for kind, limit in limits.items() if limit is not None]


NAMED, WRITTEN = "<named>", "<written>"
"""Ends of a place in the file where a rule is the name of one of the column's, or stands there in full; they stand in no message."""


class _Quality(_Odcs):
    """What becomes of rows that break a rule of the column; without this they are set aside."""

    type: Literal["custom"]
    """`custom`: the standard's own metrics have no lengths and patterns."""
    engine: Literal["regraft"]
    """Who evaluates it."""
    implementation: Annotated[
        Annotated[Literal["required", "unique", "min_length", "max_length", "pattern", "valid_values"], Tag(NAMED)]
        | Annotated[TextRule, Tag(WRITTEN)],
        Discriminator(lambda value: WRITTEN if isinstance(value, dict | TextRule) else NAMED),
    ]
    """The rule: the name of one that stands above, or one for texts that has no place there."""
    severity: Severity
    """`block`: a drop with such a row is refused whole; `quarantine`: the row is set aside; `warn`: it is taken in and said."""
    description: str | None = None
    """Why; documentation."""

    @property
    def kinds(self) -> list[str]:
        """The rules of :class:`Column` that it is about."""
        return [self.implementation] if isinstance(self.implementation, str) else self.implementation.kinds


class DropRule(_Odcs):
    """A rule about a drop as a whole."""

    rule: Literal["quarantined", "volume", "label_shares", "source_share", "freshness"]
    """`quarantined`: share of rows set aside. `volume`: rows afterwards, as a multiple of those before. `label_shares`: by how much the
    share of a label changes at most. `source_share`: share of the new rows that have one value of `column`. `freshness`: days since the
    newest date in `column`."""
    at_least: Annotated[float, Field(ge=0)] | None = None
    """Below it, the rule is broken."""
    at_most: Annotated[float, Field(ge=0)] | None = None
    """Above it, the rule is broken."""
    column: Name | None = None
    """The column of `source_share` and `freshness`."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"`{self.rule}` needs `at_least` or `at_most`")
        if (self.rule in ("source_share", "freshness")) != (self.column is not None):
            raise ValueError(f"`{self.rule}` " + ("takes no `column`" if self.column else "needs `column`"))
        return self


class DropQuality(_Odcs):
    """A rule about a drop as a whole, and what becomes of one that breaks it."""

    type: Literal["custom"]
    """`custom`: the standard has no such rule."""
    engine: Literal["regraft"]
    """Who evaluates it."""
    implementation: DropRule
    """The rule."""
    severity: Literal["block", "warn"]
    """`block`: the drop is refused whole; `warn`: it is said."""
    description: str | None = None
    """Why; documentation."""


class Property(_Odcs):
    """One column."""

    name: Name
    """The column's name in the header."""
    logicalType: Literal["string"] = "string"
    """Every value is read as text."""
    required: StrictBool = False
    """A row without a value here is quarantined."""
    unique: StrictBool = False
    """Rows that share a value here are quarantined."""
    logicalTypeOptions: _Options = _Options()
    """Rules for the text."""
    enum: Annotated[list[_EnumValue], Field(min_length=1)] | None = None
    """The values that are allowed (since ODCS v3.2.0)."""
    description: str | None = None
    """What the column holds; documentation."""
    businessName: str | None = None
    """Its name for people; documentation."""
    examples: list[str] | None = None
    """Values as they may occur; documentation."""
    tags: list[str] | None = None
    """Keywords; documentation."""
    quality: list[_Quality] | None = None
    """Rules that do something else than set a row aside."""

    @model_validator(mode="after")
    def _severities_are_of_its_rules(self) -> Self:
        options = self.logicalTypeOptions
        rules = {"required": self.required, "unique": self.unique, "min_length": options.minLength is not None}
        rules |= {"max_length": options.maxLength is not None, "pattern": options.pattern is not None, "valid_values": bool(self.enum)}
        kinds = [kind for item in self.quality or () for kind in item.kinds]
        _unique("the rule", kinds)
        for item in self.quality or ():
            if isinstance(item.implementation, str) and not rules[item.implementation]:
                raise ValueError(f"`quality` names the rule {item.implementation}, which {self.name} does not have")
        return self

    @field_validator("enum")
    @classmethod
    def _each_value_once(cls, enum: list[_EnumValue] | None) -> list[_EnumValue] | None:
        _unique("value", [item.value for item in enum or ()])
        return enum


class _Table(_Odcs):
    """The labelled rows."""

    name: Name
    """A name for the rows; documentation."""
    properties: Annotated[list[Property], Field(min_length=1)]
    """The columns. Those that are not named here are allowed and unchecked."""
    description: str | None = None
    """What a row is; documentation."""
    tags: list[str] | None = None
    """Keywords; documentation."""
    quality: list[DropQuality] | None = None
    """Rules about a drop as a whole, for `regraft handoff`."""

    @field_validator("properties")
    @classmethod
    def _each_column_once(cls, properties: list[Property]) -> list[Property]:
        _unique("column", [item.name for item in properties])
        return properties


class _Description(_Odcs):
    """What the data is for; documentation."""

    purpose: str | None = None
    """What it was collected for."""
    usage: str | None = None
    """What it may be used for."""
    limitations: str | None = None
    """What it must not be used for."""


class ContractFile(_Odcs):
    """A data contract: what labelled rows have to look like, in a subset of the Open Data Contract Standard 3."""

    apiVersion: Literal["v3.2.0", "v3.1.0", "v3.0.2", "v3.0.1", "v3.0.0"]
    """Version of the standard."""
    kind: Literal["DataContract"]
    """What the file is."""
    id: Name
    """Name of the contract, in reports."""
    version: Name
    """Version of the contract, in reports; in quotes where it looks like a number."""
    status: Literal["proposed", "draft", "active", "deprecated", "retired"]
    """Where the contract is in its life; documentation."""
    tables: Annotated[list[_Table], Field(min_length=1, max_length=1, alias="schema")]
    """The rows it is about: one table."""
    name: str | None = None
    """Title; documentation."""
    domain: str | None = None
    """Who owns the data; documentation."""
    description: _Description | None = None
    """What the data is for; documentation."""
    tags: list[str] | None = None
    """Keywords; documentation."""

    @model_validator(mode="after")
    def _enum_is_new(self) -> Self:
        if self.apiVersion != "v3.2.0" and any(item.enum for item in self.tables[0].properties):
            raise ValueError(f"`enum` came with ODCS v3.2.0; set apiVersion: v3.2.0 (it is {self.apiVersion})")
        return self


_LEVELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): ContractFile,
    ("description",): _Description,
    ("schema",): _Table,
    ("schema", "quality"): DropQuality,
    ("schema", "quality", "implementation"): DropRule,
    ("schema", "properties"): Property,
    ("schema", "properties", "quality"): _Quality,
    ("schema", "properties", "quality", "implementation"): TextRule,
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
    return _contract(read_contract(path)).model_dump(mode="json", exclude_none=True)


def read_contract(path: Path) -> ContractFile:
    """The file as it stands; :class:`ConfigError` lists everything that is wrong with it."""
    from regraft.core.yaml_file import faulty, read_yaml

    shown = f"{path.parent.name}/{path.name}"
    value, node = read_yaml(path, shown)
    try:
        return ContractFile.model_validate(value)
    except ValidationError as error:
        problems = [_problem(item, shown, node) for item in error.errors()]
    raise faulty(problems)


def load_drop_rules(path: Path) -> list[DropQuality]:
    """The contract's rules about a drop as a whole."""
    return list(read_contract(path).tables[0].quality or ())


def _contract(document: ContractFile) -> Contract:
    return Contract(id=document.id, version=document.version, columns=tuple(map(_column, document.tables[0].properties)))


def _column(item: Property) -> Column:
    quality = item.quality or ()
    written = {each.implementation.rule: each.implementation for each in quality if isinstance(each.implementation, TextRule)}
    language, tokens = written.get("language"), written.get("tokens")
    return Column(
        name=item.name,
        required=item.required,
        unique=item.unique,
        min_length=item.logicalTypeOptions.minLength,
        max_length=item.logicalTypeOptions.maxLength,
        pattern=item.logicalTypeOptions.pattern,
        valid_values=tuple(sorted(value.value for value in item.enum)) if item.enum else None,
        languages=tuple(sorted(language.any_of or ())) if language else None,
        min_tokens=tokens.at_least if tokens else None,
        max_tokens=tokens.at_most if tokens else None,
        severities={kind: each.severity for each in quality for kind in each.kinds} or None,
    )


def _problem(item: Any, shown: str, node: Any) -> Problem:
    """One pydantic error in the words of someone who edits YAML; ``node`` is what the file holds."""
    from regraft.core.yaml_file import line_of, reason

    location = tuple(part for part in item["loc"] if part not in (NAMED, WRITTEN))
    row = line_of(node, location)
    key = ".".join(map(str, location))
    place = {"file": shown, "row": row, "column": key, "fix": f"edit {shown}" + (f", line {row}" if row else "")}
    value = item["input"] if isinstance(item["input"], str | int | float | bool) else None
    if item["type"] == "extra_forbidden":
        model = _LEVELS[tuple(part for part in location[:-1] if isinstance(part, str))]
        keys = [field.alias or name for name, field in model.model_fields.items()]
        return Problem(message=unknown_key(key, keys), value=value, rule="known keys only", **place)
    if item["type"] == "missing":
        return Problem(message=f"{key}: missing", rule="required", **place)
    quote = "; put it in quotes" if item["type"] == "string_type" and value is not None else ""
    rejected = f", not {value!r}" if value is not None else ""
    message = f"{key}: {reason(item)}{rejected}{quote}"
    return Problem(message=message, value=value, rule=item["type"], **place)
