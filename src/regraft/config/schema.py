"""The JSON schema of the files that people write, from the models that read them: an editor then knows every key.

Editors with the YAML language server (VS Code, Neovim, JetBrains by plugin) use it when a file starts with the line of
:func:`modeline`; the path in it is relative to that file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema

from regraft.config.pipeline import PipelineOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Kind = Literal["pipeline", "contract"]
TITLES = {"pipeline": "regraft pipeline file", "contract": "regraft data contract"}


class _WithoutTitles(GenerateJsonSchema):
    """pydantic's own, less the titles that only repeat a key in capitals."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def file_name(kind: Kind) -> str:
    """What the schema is called beside the pipeline files; the dot keeps it from being taken for a pipeline."""
    return f"{kind}.schema.json"


def modeline(kind: Kind) -> str:
    """The first line of a YAML file that is to be checked while it is typed."""
    return f"# yaml-language-server: $schema={file_name(kind)}"


def schema(kind: Kind) -> dict[str, Any]:
    """JSON Schema 2020-12 of a file kind: every key with its description, its default and its limits."""
    from regraft.data.contract import ContractFile

    model = PipelineOptions if kind == "pipeline" else ContractFile
    return {"$schema": DIALECT, **model.model_json_schema(by_alias=True, schema_generator=_WithoutTitles), "title": TITLES[kind]}
