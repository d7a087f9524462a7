"""README and docs/ say what is there: links, verbs, options, make targets and keys. What commands print is tests/e2e's to check."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from snippets import PAGES, ROOT, Block, blocks, missing
from typer.main import get_command

from regraft.cli.app import with_verbs
from regraft.config.pipeline import PipelineOptions
from regraft.config.schema import Kind, schema
from regraft.config.workspace_file import WorkspaceOptions
from regraft.core.errors import ConfigError
from regraft.data.contract import Contract
from regraft.data.contract_file import load_contract
from regraft.data.options import TaskOptions
from regraft.evaluation.probe_options import TemplateFile

EVERY = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs" / "decisions").glob("*.md")))
LEAST = {"version": 1, "base_model": "models/tiny", "data": {"labelled": "rows.csv", "corpus": "texts"}}
"""What a pipeline file needs besides the section that a snippet shows."""


def ids(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def reference() -> Any:
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "docs" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache  # 0.3 s each: a schema is made and, as `jsonschema.validate` does every time, is itself checked
def validator(kind: Kind) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(known := schema(kind))
    return jsonschema.Draft202012Validator(known)


@cache
def verbs() -> dict[str, set[str]]:
    """``{"card verify": {"--json", ...}}``."""

    def of(path: str, group: Any) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {path: {"--help", "-h"}} if path else {}
        for name, verb in group.commands.items():
            full = f"{path} {name}".strip()
            options = {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)}
            found |= of(full, verb) if hasattr(verb, "commands") else {full: {o for o in options if o.startswith("-")} | {"--help", "-h"}}
        return found

    return of("", get_command(with_verbs()))


def test_the_file_with_every_key_is_a_pipeline_file_and_has_every_key():
    (block,) = blocks(ROOT / "docs" / "pipeline-file.md", "yaml")
    document, known = yaml.safe_load(block.text), schema("pipeline")
    PipelineOptions.model_validate(document)

    def keys_of(said: dict[str, Any]) -> set[str]:
        levels = [known["$defs"][choice["$ref"].rpartition("/")[2]] for choice in said.get("anyOf", [said]) if "$ref" in choice]
        return set((said.get("oneOf") or levels or [{}])[0].get("properties", ()))  # of a method or an objective: the default's

    for key, said in known["properties"].items():
        assert key in document, key
        missing_keys = keys_of(said) - set(document[key] if isinstance(document[key], dict) else ())
        assert missing_keys <= {"schedule": {"interval"}, "data": {"split"}}.get(key, set()), (key, "exclude others, and are in comments")
        assert all(f" {missing_key}:" in block.text or f"{{{missing_key}:" in block.text for missing_key in missing_keys)
    gates = {choice["title"] for choice in known["properties"]["gates"]["items"]["oneOf"]}
    assert {gate for gate in gates if not any(gate in line for line in document["gates"])} == set()


def test_the_reference_is_what_the_code_says():
    assert reference().stale() == [], "run `python docs/reference.py`"


@pytest.mark.parametrize("page", EVERY, ids=ids)
def test_every_verb_and_option_that_is_mentioned_exists(page):
    code = re.findall(r"`([^`\n]+)`", page.read_text())
    code += [line for block in blocks(page, "sh", "console") for line in block.text.splitlines()]
    faults = []
    for text in code:
        for called in re.findall(r"(?:^|[\s(])regraft ([a-z][^|>;#]*)", text):
            typed = called.split()
            verb = " ".join(typed[:2]) if " ".join(typed[:2]) in verbs() else typed[0]
            unknown = {part.split("=")[0] for part in typed if part.startswith("--") and part != "--"} - verbs().get(verb, set())
            faults += [f"regraft {called}"] if verb not in verbs() or unknown else []
    assert faults == []


@pytest.mark.parametrize("page", EVERY, ids=ids)
def test_every_make_target_that_is_mentioned_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ |^)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", EVERY, ids=ids)
def test_every_link_leads_to_a_file(page):
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not re.match(r"https?://|#", link)]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "yaml")], ids=ids)
def test_every_yaml_snippet_is_valid(block: Block):
    value = yaml.safe_load(block.text)
    if "apiVersion" in value:
        validator("contract").validate(value)
        return
    if "tests" in value:
        assert TemplateFile.model_validate(value)
        return
    if value.keys() & {"store", "repository"}:
        assert WorkspaceOptions.model_validate(value)
        return
    full = {**LEAST, **value}
    validator("pipeline").validate(full)
    assert PipelineOptions.model_validate(full)


def test_the_picture_is_well_formed_and_loads_nothing():
    text = (ROOT / "docs" / "architecture.svg").read_text()
    ElementTree.fromstring(text)
    assert re.findall(r"(?:href|src)=|@import|url\((?!#)", text) == []


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("demo-20261121T070241-4e6898", "own-20270101T000000-abcdef", True),
        ("  contract         3.9 s", "  contract        29.0 s", True),
        ("champion: version 1 (7c86f5944400)", "champion: version 2 (2f9fca6b437a)", True),
        ("PASS", "FAIL", False),
        ("champion: version 1 (7c86f5944400)", "champion: none", False),
        ("networkx  0.94  Plot the graph", "no model is registered", False),
    ],
)
def test_an_output_is_compared_without_what_differs_from_run_to_run(shown, printed, same):
    assert (missing((shown,), f"before\n{printed}\nafter") == []) is same


def test_the_contract_of_the_data_team_s_page_fits_the_pipeline_file_there(tmp_path):
    page = next(page for page in PAGES if page.name == "data-team.md")
    values = [(block.text, yaml.safe_load(block.text)) for block in blocks(page, "yaml")]
    task = next(value["task"] for _, value in values if "id" in value.get("task", {}))
    first, *others = (text for text, value in values if value.get("kind") == "DataContract")
    for text in (*others, first):
        (tmp_path / "contract.yaml").write_text(text)
        assert load_contract(tmp_path / "contract.yaml")["columns"]
    contract = Contract.model_validate(load_contract(tmp_path / "contract.yaml")).for_task(TaskOptions(**task))
    assert [column.name for column in contract.columns] == [task["id"], task["text"], task["label"]]
    with pytest.raises(ConfigError, match=r"task\.id is 'id'") as refused:
        Contract.model_validate(load_contract(tmp_path / "contract.yaml")).for_task(TaskOptions())
    assert "call the column in the contract as the data does (- {name: id})" in str(refused.value.fix)


def test_every_decision_has_a_number_of_its_own_which_its_title_bears():
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.name for page in pages if not page.read_text(encoding="utf8").startswith(f"# {page.name[:4]}: ")] == []
