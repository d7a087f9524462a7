"""YAML that people write: read strictly, with the line of every fault."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel

from regraft.core.encoding import encoding_problem
from regraft.core.errors import ConfigError, Problem
from regraft.core.suggest import guess, unknown_key


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice (plain YAML silently keeps the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key has to be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key.value}' is written twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, workspace_path: str) -> tuple[dict[str, Any], yaml.Node]:
    """The mapping in ``path`` and its node tree (for line numbers); anything else is a :class:`ConfigError`."""
    try:
        loader = _UniqueKeys(path.read_text(encoding="utf8"))
        node = loader.get_single_node()
        value = loader.construct_document(node) if node is not None else None
    except UnicodeDecodeError:
        problem = encoding_problem(path, workspace_path)
        raise ConfigError(f"{workspace_path} is {problem['message']}", fix=problem["fix"], problems=[problem]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        row = mark.line + 1 if mark else None
        begun = error.context_mark.line + 1 if error.context_mark else row
        detail = f"{error.problem}" + (f", {error.context} that begins in line {begun}" if begun != row else "")
        raise _not_yaml(workspace_path, f"is not valid YAML, line {row}: {detail}", detail, row) from None
    except yaml.YAMLError as error:  # the reader's: a control character, without a mark
        detail = " ".join(str(error).split())
        raise _not_yaml(workspace_path, f"is not valid YAML: {detail}", detail, None) from None
    if not isinstance(value, dict) or node is None:
        detail = "holds no mapping; a pipeline file starts with `version: 1`"
        raise _not_yaml(workspace_path, detail, detail, None)
    return value, node


def _not_yaml(shown: str, sentence: str, detail: str, row: int | None) -> ConfigError:
    fix = f"edit {shown}" + (f", line {row}" if row else "")
    return ConfigError(f"{shown} {sentence}", fix=fix, problems=[Problem(message=detail, file=shown, row=row, rule="yaml", fix=fix)])


def faulty(problems: list[Problem]) -> ConfigError:
    """One error for all faults of a file, with the line to begin at; ``--set`` counts as a file."""
    names = " and ".join(dict.fromkeys(problem["file"] for problem in problems))
    lines = "\n".join(f"  {p['message']}" + (f" (line {p['row']})" if p.get("row") else "") for p in problems)
    faults = f"{len(problems)} fault{'s' * (len(problems) > 1)}"
    return ConfigError(f"{names}: {faults}\n{lines}", fix=problems[0]["fix"], problems=problems)


def problem_of(item: Any, shown: str, node: yaml.Node, model: type[BaseModel]) -> Problem:
    """One pydantic error in the words of someone who edits YAML."""
    where = list(item["loc"])
    key = ".".join(map(str, where))
    if item["type"] == "extra_forbidden":
        message, rule = unknown_key(key, fields_at(model, where[:-1])), "known keys only"
    elif item["type"] == "unknown_key":
        message, rule = _not_read(key, item["ctx"]), "known keys only"
    elif item["type"] == "unknown_plugin":
        message, rule = f"{key}: {item['msg']}", "known names only"
    elif item["type"] == "missing":
        message, rule = f"{key}: missing", "required"
    else:
        parts = item["input"] if isinstance(item["input"], list | tuple) else [item["input"]]
        unprintable = not where or any(isinstance(part, dict | BaseModel) for part in parts)  # a mapping would be repeated as Python has it
        rejected = "" if unprintable else f", not {item['input']!r}".replace("not None", "not empty")
        message = f"{key}: {reason(item)}{rejected}{_guess(item)}".removeprefix(": ")
        rule = item["type"]
    value = item["input"] if isinstance(item["input"], str | int | float | bool) else None
    row = line_of(node, where)
    fix = f"edit {shown}" + (f", line {row}" if row else "")
    return Problem(message=message, file=shown, row=row, column=key, value=value, rule=rule, fix=fix)


def _not_read(key: str, context: Mapping[str, Any]) -> str:
    """A key that a plug-in does not read: who reads it, or what it was probably meant to be."""
    if "readers" not in context:
        return unknown_key(key, context["known"])
    naming = f"{key.rpartition('.')[0]}.{context['named_by']}".removeprefix(".")
    *most, last = context["readers"]
    readers = f"{', '.join(most)} and {last} do" if most else f"{last} does"
    return f"{key}: {naming} is {context['plugin']}, which does not read it; {readers}: take the key out, or change {naming}"


def _guess(item: Any) -> str:
    """The allowed value that a wrong one was probably meant to be, in words."""
    if item["type"] != "literal_error" or not isinstance(item["input"], str):
        return ""
    return guess(item["input"], re.findall("'([^']*)'", item["ctx"]["expected"]))


def reason(item: Any) -> str:
    """A pydantic error without Python's words."""
    text: str = item["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list").partition(", unable to parse")[0]
    if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
        text = "input should be keys and values, indented below"
    return text[:1].lower() + text[1:]


def fields_at(model: type[BaseModel], where: Sequence[Any]) -> list[str]:
    """Names of the fields that exist at ``where`` inside ``model``."""
    key_is_next = False  # the next part is a name that people give, a key of a dict
    for part in where:
        if isinstance(part, int) or key_is_next:
            key_is_next = False
            continue
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        key_is_next = any(get_origin(option) is dict for option in options)
        options += [value for option in options if get_origin(option) is dict for value in getattr(option, "__args__", ())]
        nested = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def line_of(node: yaml.Node, where: Sequence[Any]) -> int | None:
    """Line of the deepest part of ``where`` that the file really holds; None where it holds none of it."""
    line = None
    for part in where:
        if isinstance(node, yaml.MappingNode):
            entries = [(key, child) for key, child in node.value if key.value == str(part)]
            if not entries:
                return line
            line, node = entries[0][0].start_mark.line + 1, entries[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
