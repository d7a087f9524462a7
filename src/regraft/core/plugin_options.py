"""Sections of a pipeline file that a plug-in reads: one key names it, and its own options say what else may stand there.

``finetune: {method: lora, rank: 8}`` is read by the options of ``lora`` alone. A pydantic union would import every plug-in to read
one section and put the name of a class into the place of every fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from regraft.core.registry import Registry
from regraft.core.strict import Strict
from regraft.core.suggest import unknown
from regraft.core.yaml_file import fields_at

UNKNOWN_KEY = "unknown_key"
"""Type of the error about a key that a plug-in does not read; its context has ``known``, the keys that it does, and where others read
the key ``readers``, with ``plugin`` and the key it is ``named_by``."""


UNKNOWN_PLUGIN = "unknown_plugin"
"""Type of the error about a name that is none of a plug-in."""


class HasOptions(Protocol):
    """What a section needs of a plug-in."""

    options: type[Strict]


@dataclass(frozen=True)
class Section:
    """Annotation of a field that is read by the options of the plug-in that its ``key`` names."""

    registry: Registry[Any]
    key: str
    besides: str | None = None
    """A name that is no plug-in's, which the schema knows and whoever reads the whole file has written out."""

    def read(self, value: Any) -> Strict:
        """The options in ``value``, a mapping. A fault is a ValidationError whose places are keys of the mapping."""
        if isinstance(value, Strict):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("dict_type")
        name = value.get(self.key, self.registry.first)
        if not isinstance(name, str) or name not in self.registry:
            raise _wrong_name(self.registry, name, (self.key,))
        options: type[Strict] = self.registry[name].options
        try:
            return options.model_validate(value)
        except ValidationError as error:
            raise with_known_keys(error, options, self._others_that_read(name, value)) from None

    def _others_that_read(self, name: str, value: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Key of ``value`` that ``name`` does not read -> who does, for those that some other plug-in reads."""
        known = self.registry[name].options.model_fields
        readers = {
            key: [other for other in self.registry if key in self.registry[other].options.model_fields] for key in value if key not in known
        }
        return {key: {"named_by": self.key, "plugin": name, "readers": others} for key, others in readers.items() if others}

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_written, info_arg=True)
        return core_schema.no_info_plain_validator_function(self.read, serialization=written)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """One schema a plug-in, told apart by the key."""
        choices = {}
        for name in self.registry:
            choices[name] = handler(self.registry[name].options.__pydantic_core_schema__)
            choices[name]["title"] = name
        if self.besides is not None:
            first = choices[self.registry.first]
            named = {name: value for name, value in first["properties"][self.key].items() if name != "const"}
            first["properties"] = {**first["properties"], self.key: {**named, "enum": [self.registry.first, self.besides]}}
        return {"oneOf": list(choices.values()), "x-named-by": self.key, "default": {}}


@dataclass(frozen=True)
class Named:
    """Annotation of a string that names a plug-in."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = list(self.registry)
        return {"type": "string", **({"enum": names} if len(names) > 1 else {"const": names[0]})}

    def _known(self, name: str) -> str:
        if name not in self.registry:
            raise _wrong_name(self.registry, name, ())
        return name


def _written(options: Strict, info: core_schema.SerializationInfo) -> dict[str, Any]:
    return options.model_dump(mode=info.mode, exclude_none=info.exclude_none, exclude_defaults=info.exclude_defaults)


def _wrong_name(registry: Registry[Any], name: Any, place: tuple[str, ...]) -> Exception:
    sentence = unknown(registry.member, str(name), registry)
    fault = PydanticCustomError(UNKNOWN_PLUGIN, "{sentence}", {"sentence": sentence})
    if not place:
        return fault
    return ValidationError.from_exception_data(registry.member, [InitErrorDetails(type=fault, loc=place, input=name)])


def with_known_keys(error: ValidationError, options: type[Strict], others: Mapping[str, Mapping[str, Any]]) -> ValidationError:
    """The same faults; one about a key that is not read says which keys are, and which of ``others`` read it."""
    details = []
    for item in error.errors(include_url=False):
        kind: Any = item["type"]
        if kind == "extra_forbidden":
            read_elsewhere = others.get(str(item["loc"][0]), {}) if len(item["loc"]) == 1 else {}
            kind = _unknown_key(fields_at(options, item["loc"][:-1]), read_elsewhere)
        detail = InitErrorDetails(type=kind, loc=item["loc"], input=item["input"])
        if isinstance(kind, str) and "ctx" in item:
            detail["ctx"] = item["ctx"]
        details.append(detail)
    return ValidationError.from_exception_data(error.title, details)


def retold(item: Any, place: tuple[str | int, ...]) -> InitErrorDetails:
    """The error ``item``, as pydantic lists it, told at another place."""
    kind: Any = item["type"]
    if kind in (UNKNOWN_KEY, UNKNOWN_PLUGIN):
        kind = PydanticCustomError(kind, "{sentence}", {"sentence": item["msg"], **item.get("ctx", {})})
    return InitErrorDetails(type=kind, loc=place, input=item["input"], ctx=item.get("ctx", {}))


def unknown_keys(value: Mapping[str, Any], keys: Sequence[str], known: Sequence[str]) -> ValidationError:
    """A fault for each of ``keys`` in ``value``."""
    details = [InitErrorDetails(type=_unknown_key(known), loc=(key,), input=value[key]) for key in keys]
    return ValidationError.from_exception_data("keys", details)


def _unknown_key(known: Sequence[str], read_elsewhere: Mapping[str, Any] | None = None) -> PydanticCustomError:
    return PydanticCustomError(UNKNOWN_KEY, "unknown key", {"known": list(known), **(read_elsewhere or {})})
