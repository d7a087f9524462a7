"""The gates there are, by name; none is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from regraft.core.errors import EnvironmentFault
from regraft.core.plugin_options import unknown_keys, with_known_keys
from regraft.core.registry import Registry
from regraft.gates.options import GateOptions, MetricOptions, is_clean
from regraft.gates.overlap import OVERLAP
from regraft.gates.protocol import Gate
from regraft.gates.tables import Table

GATES: Registry[Gate[Any]] = Registry(
    "regraft.gates",
    "gate",
    {
        "beats": "regraft.gates.beats:BEATS",
        "at_least": "regraft.gates.at_least:AT_LEAST",
        "non_inferior_by": "regraft.gates.non_inferior:NON_INFERIOR",
        "slices": "regraft.gates.slice_gate:SLICES",
        "new_classes": "regraft.gates.new_classes:NEW_CLASSES",
        "negative_flips": "regraft.gates.negative_flips:NEGATIVE_FLIPS",
        "holdout": "regraft.gates.holdout:HOLDOUT",
        "fairness": "regraft.gates.fairness:FAIRNESS",
        "robustness": "regraft.gates.robustness:ROBUSTNESS",
        "counterfactual": "regraft.gates.counterfactual:COUNTERFACTUAL",
        "templates": "regraft.gates.templates:TEMPLATES",
        "seeds": "regraft.gates.seeds:SEEDS",
        "calibration": "regraft.gates.calibration:CALIBRATION",
        "cost": "regraft.gates.cost:COST",
        "forgetting": "regraft.gates.forgetting:FORGETTING",
        "earlier_tasks": "regraft.gates.earlier_tasks:EARLIER_TASKS",
    },
)
"""Installed packages add theirs by the entry points ``regraft.gates``."""


def gate_of(asked: GateOptions) -> Gate[Any]:
    """The gate that a line asks."""
    return GATES[asked.gate]


def read(line: Mapping[str, Any] | GateOptions) -> GateOptions:
    """A line of ``gates:`` by the options of the gate that it names. ValidationError with keys of the line as places."""
    if isinstance(line, GateOptions):
        return line
    if not isinstance(line, Mapping):
        raise PydanticKnownError("dict_type")
    options = _options_of(line)
    others = set(line) - set(options.model_fields)
    if idle := sorted(others and others & {key for name in GATES for key in GATES[name].options.model_fields}):
        raise _fault(line, f"`{options.gate}` does not read {', '.join(f'`{key}`' for key in idle)}; take it out")
    try:
        return options.model_validate(dict(line))
    except ValidationError as error:
        raise with_known_keys(error, options, {}) from None


def _options_of(line: Mapping[str, Any]) -> type[GateOptions]:
    """The options of the one gate that ``line`` names: of those that read all the names, or else that have all they need."""
    named = [GATES[name].options for name in GATES if line.get(name) is not None]
    names = {options.gate for options in named}
    fitting = [options for options in named if names <= set(options.model_fields)] or [
        options for options in named if all(key in line for key, field in options.model_fields.items() if field.is_required())
    ]
    if len(fitting) == 1:
        return fitting[0]
    known = {key: None for name in GATES for key in GATES[name].options.model_fields}
    if not named and (unknown := [key for key in line if key not in known]):
        raise unknown_keys(line, unknown, list(known))
    raise _fault(line, f"a gate has exactly one of {', '.join(f'`{name}`' for name in GATES)}")


def read_all(lines: Iterable[Mapping[str, Any] | GateOptions]) -> tuple[GateOptions, ...]:
    """:func:`read` each."""
    return tuple(read(line) for line in lines)


def read_stored(lines: Iterable[Mapping[str, Any]]) -> tuple[GateOptions, ...]:
    """:func:`read_all` of the gates that a decision was taken with.

    :raises EnvironmentFault: the package that brought one of them is not installed here, or is one that reads its line no longer.
    """
    gates = []
    for line in lines:
        try:
            gates.append(read(line))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            key = str(fault["loc"][0]) if fault["loc"] else ", ".join(line)
            installed = any(key in GATES[name].options.model_fields for name in GATES)
            why = f"whose line it does not read ({fault['msg']})" if installed else "which is not installed here"
            message = f"the decision was taken with the gate `{key}`, {why}"
            raise EnvironmentFault(message, fix="install the package that brought it, in the version of that time") from None
    return tuple(gates)


def tables(gates: Iterable[GateOptions]) -> Iterator[Table[Any]]:
    """The evidence that ``gates`` need, each table once."""
    found: dict[str, Table[Any]] = {}
    for asked in gates:
        for table in (*gate_of(asked).evidence, *((OVERLAP,) if is_clean(asked) else ())):
            found.setdefault(table.key, table)
    return iter(found.values())


def steps(asked: GateOptions) -> dict[str, str]:
    """Step without which a line cannot be judged -> the key that asks for it."""
    gate = gate_of(asked)
    own = {table.step: asked.gate for table in gate.evidence if table.step and not table.optional}
    return {**own, **({gate.step: asked.gate} if gate.step else {}), **({OVERLAP.step: "rows"} if is_clean(asked) and OVERLAP.step else {})}


def takes_clean_rows(name: str) -> bool:
    """Whether the gate called ``name`` may be asked of clean rows alone; False for findings that no gate makes."""
    return name in GATES and issubclass(GATES[name].options, MetricOptions) and "rows" in GATES[name].options.model_fields


def default_gates() -> tuple[GateOptions, ...]:
    """What is asked where a pipeline file says nothing."""
    of_macro_f1 = ({"at_least": 0.3}, {"beats": "tfidf"}, {"beats": "champion"})
    return read_all({"metric": "macro_f1", **line} for line in of_macro_f1)


def faults(gates: Sequence[GateOptions], other: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with all lines together; ``other``: the other keys of the pipeline file."""
    for name in GATES:
        gate = GATES[name]
        lines = [line for line in gates if line.gate == name]
        if gate.once and len(lines) > 1:
            yield f"`{name}` stands there more than once; {gate.once}"
        if fault := gate.check(lines, other):
            yield fault


def needs_step(gates: Iterable[GateOptions], step: str) -> bool:
    """Whether one of ``gates`` reads what ``step`` leaves."""
    return any(table.step == step for table in tables(gates)) or any(gate_of(asked).step == step for asked in gates)


def all_tables() -> dict[str, Table[Any]]:
    """File -> the table that is kept in it, of every gate there is."""
    every = [OVERLAP, *(table for name in GATES for table in GATES[name].evidence)]
    return {table.file: table for table in every}


class Line:
    """Annotation of a line of ``gates:``: read by the options of the gate that one of its keys names."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_written, info_arg=True)
        return core_schema.no_info_plain_validator_function(read, serialization=written)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """One schema a gate, told apart by the key that only it has."""
        choices = []
        for name in GATES:
            choice = handler(GATES[name].options.__pydantic_core_schema__)
            choices.append({**choice, "title": name})
        return {"oneOf": choices, "x-named-by": "gate"}


def _written(options: GateOptions, info: core_schema.SerializationInfo) -> dict[str, Any]:
    return options.model_dump(mode=info.mode, exclude_none=info.exclude_none, exclude_defaults=info.exclude_defaults)


def _fault(line: Mapping[str, Any], sentence: str) -> ValidationError:
    fault = PydanticCustomError("value_error", "{sentence}", {"sentence": sentence})
    return ValidationError.from_exception_data("gate", [InitErrorDetails(type=fault, loc=(), input=dict(line))])
