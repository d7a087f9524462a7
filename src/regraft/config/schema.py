"""The JSON schema of the files that people write, from the models that read them: an editor then knows every key.

Editors with the YAML language server (VS Code, Neovim, JetBrains by plugin) use it when a file starts with the line of
:func:`modeline`; the path in it is relative to that file.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from typing import Any, Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from regraft.config.pipeline import PipelineOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Kind = Literal["pipeline", "contract"]
TITLES = {"pipeline": "regraft pipeline file", "contract": "regraft data contract"}


class _WithDocstrings(GenerateJsonSchema):
    """pydantic's own, with the docstring under a field as its description, less the titles that only repeat a key in capitals.

    pydantic has ``use_attribute_docstrings`` for this, which reads sources at the import of every class: half of what a small step
    computed (0.5 s), because it looks through all modules that are loaded.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        fields = cast(type[BaseModel], schema["cls"]).model_fields
        for name, docstring in _docstrings(schema["cls"]).items():
            if name in fields and (described := made["properties"].get(fields[name].alias or name)) is not None:
                described.setdefault("description", docstring)
        return made


def _docstrings(model: type) -> dict[str, str]:
    """Field -> the docstring under it, of a class and of those that it inherits from."""
    docstrings: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            docstrings |= _docstrings_of_own(each)
    return docstrings


@functools.cache  # a schema asks twice for each class, and finding the source of one parses its whole module: half of the 0.6 s
def _docstrings_of_own(model: type) -> dict[str, str]:
    try:
        body = cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]).body
    except OSError:  # made by a function: there is no source
        return {}
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def file_name(kind: Kind) -> str:
    """What the schema is called beside the pipeline files; the dot keeps it from being taken for a pipeline."""
    return f"{kind}.schema.json"


def modeline(kind: Kind) -> str:
    """The first line of a YAML file that is to be checked while it is typed."""
    return f"# yaml-language-server: $schema={file_name(kind)}"


def schema(kind: Kind) -> dict[str, Any]:
    """JSON Schema 2020-12 of a file kind: every key with its description, its default and its limits."""
    from regraft.data.contract_file import ContractFile

    model = PipelineOptions if kind == "pipeline" else ContractFile
    return {"$schema": DIALECT, **model.model_json_schema(by_alias=True, schema_generator=_WithDocstrings), "title": TITLES[kind]}
