"""``regraft schema``: what an editor is told is what regraft reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from regraft.config.pipeline_file import load_pipeline
from regraft.config.schema import modeline, schema
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace

PIPELINES = Path(__file__).parents[2] / "pipelines"
SHIPPED = sorted(PIPELINES.glob("*.yaml"))
KINDS = ("pipeline", "contract")


@cache
def validator(kind: Any) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind))


def keys(kind: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of every level, with what the schema says of it."""
    for name, level in levels(kind).items():
        yield from ((f"{name}.{key}", said) for key, said in level["properties"].items())


def levels(kind: Any) -> dict[str, dict[str, Any]]:
    """Every mapping that the schema describes, those of plug-ins included."""
    document = schema(kind)
    named = {"": document, **document["$defs"]}
    chosen = {f"{key}: {choice['title']}": choice for key, said in document["properties"].items() for choice in said.get("oneOf", ())}
    return named | chosen


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_one(kind):
    jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_valid(path):
    validator("contract" if ".contract." in path.name else "pipeline").validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_description_and_a_default_unless_it_is_required(kind):
    assert [key for key, said in keys(kind) if not said.get("description") and "$ref" not in said] == []
    for level in levels(kind).values():
        optional = set(level["properties"]) - set(level.get("required", ()))
        assert [key for key in optional if "default" not in level["properties"][key]] == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_level_takes_an_unknown_key(kind):
    assert all(level["additionalProperties"] is False for level in levels(kind).values())


@pytest.mark.parametrize(
    ("section", "valid"),
    [
        ({}, True),
        ({"epochs": 3}, True),
        ({"method": "auto", "epochs": 3}, True),
        ({"method": "linear_probe", "pooling": "cls"}, True),
        ({"method": "linear_probe", "epochs": 3}, False),
        ({"method": "linear_prob"}, False),
    ],
    ids=str,
)
def test_an_editor_knows_the_keys_of_the_method_that_is_named(section, valid):
    file = {"version": 1, "base_model": "models/tiny", "data": {"corpus": "a", "labelled": "b"}, "finetune": section}
    assert validator("pipeline").is_valid(file) is valid


@pytest.mark.parametrize(
    "fault",
    [
        {"sede": 3},
        {"version": 2},
        {"data": {"corpus": "x"}},
        {"seed": -1},
        {"pretrain": {"mask_probability": 1}},
        {"gates": [{"beats": "me"}]},
    ],
)
def test_what_the_schema_refuses_regraft_refuses(fault, tiny: Workspace):
    path = tiny.pipeline_file("tiny")
    value = {**yaml.safe_load(path.read_text()), **fault}
    assert not validator("pipeline").is_valid(value)
    path.write_text(yaml.safe_dump(value))
    with pytest.raises(ConfigError):
        load_pipeline(tiny, "tiny")


def test_the_verb_prints_the_schema_and_says_beside_it_which_line_makes_an_editor_use_it(cli, tiny):
    said = cli("schema")
    assert json.loads(said.out) == schema("pipeline")
    assert "# yaml-language-server: $schema=pipeline.schema.json" in said.err
    assert json.loads(cli("schema", "contract").out)["title"] == "regraft data contract"


@pytest.mark.parametrize("kind", KINDS)
def test_as_json_the_line_comes_along(cli, tiny, kind):
    document = cli("schema", kind, "--json").json
    assert set(document) == {"schema", "kind", "file", "line", "json_schema"}
    assert document["line"] == modeline(kind)
    assert document["line"].endswith(Path(document["file"]).name)


def test_a_pipeline_file_may_start_with_the_line_and_the_schema_beside_it_is_no_pipeline(cli, tiny):
    (tiny.root / "pipelines" / "pipeline.schema.json").write_text(cli("schema").out)
    path = tiny.pipeline_file("tiny")
    path.write_text(f"{modeline('pipeline')}\n{path.read_text()}")
    assert load_pipeline(tiny, "tiny").version == 1
    assert Workspace(tiny.root).pipelines == ("tiny",)
    assert cli("dvc", "--check").code == 0


def test_another_kind_is_refused(cli, tiny):
    said = cli("schema", "nope")
    assert said.code == 2
    assert re.search(r"'nope' is not one of 'pipeline', 'contract'", said.err)
