"""The data card of a version: Markdown with the front matter that the Hugging Face hub reads (https://huggingface.co/docs/hub/datasets-cards)."""

from __future__ import annotations

import json
from typing import Any

import yaml

from regraft.data.contract_file import ContractFile, Property
from regraft.data.handoff.history import Version
from regraft.data.options import TaskOptions

NAME = "card.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def render(pipeline: str, version: Version, rows: int, task: TaskOptions, contract: ContractFile | None) -> str:
    """The card of ``version``, which has so many ``rows``."""
    category = next((name for limit, name in SIZES if rows < limit), "10M<n<100M")
    labels = version.diff.get("labels", {}).get("after", {})
    front: dict[str, Any] = {
        "pretty_name": (contract.name if contract else None) or pipeline,
        "task_categories": [task.type],
        "size_categories": [category],
    }
    front |= {"tags": sorted({*(contract.tags or [] if contract else []), "regraft"})}
    features = [{"name": name, "dtype": "string"} for name in (task.id, *task.texts, task.label) if name is not None]
    front["dataset_info"] = {"features": features, "splits": [{"name": "labelled", "num_examples": rows}]}
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {front['pretty_name']}, version {version.number}",
        "",
    ]
    lines += [
        f"{rows:,} labelled rows. Version {version.number} of the data of the pipeline `{pipeline}`, {version.at[:10]}, by {version.by}.",
        "",
    ]
    if contract and contract.description:
        about = {"Purpose": contract.description.purpose, "Use": contract.description.usage, "Limits": contract.description.limitations}
        lines += [f"**{title}.** {text}\n" for title, text in about.items() if text]
    lines += ["## Labels", "", "| label | meaning | rows |", "|---|---|--:|"]
    meanings = _meanings(contract, task)
    lines += [f"| {_cell(label)} | {_cell(meanings.get(label, ''))} | {count:,} |" for label, count in sorted(labels.items())]
    lines += ["", "## What changed", "", f"{version.summary}."]
    if version.source:
        counts = version.counts
        lines += [
            "",
            f"From `{version.source}`: read {counts['read']:,}, accepted {counts['accepted']:,}, quarantined {counts['quarantined']:,}.",
        ]
    if version.diff.get("relabellings"):
        lines += ["", "| from | to | rows |", "|---|---|--:|"]
        lines += [f"| {_cell(item['from'])} | {_cell(item['to'])} | {item['rows']:,} |" for item in version.diff["relabellings"]]
    if contract:
        columns = contract.tables[0].properties
        lines += ["", "## Columns", "", "| column | what it holds | contract |", "|---|---|---|"]
        lines += [f"| {_cell(item.name)} | {_cell(item.description or '')} | {_cell(_rules(item))} |" for item in columns]
    return "\n".join(lines) + "\n"


def _meanings(contract: ContractFile | None, task: TaskOptions) -> dict[str, str]:
    properties = contract.tables[0].properties if contract else []
    values = next((item.enum or [] for item in properties if item.name == task.label), [])
    return {value.value: value.description or value.label or "" for value in values}


def _rules(item: Property) -> str:
    rules = [name for name in ("required", "unique") if getattr(item, name)]
    limits = item.logicalTypeOptions.model_dump(exclude_none=True)
    for rule in (each.implementation for each in item.quality or () if not isinstance(each.implementation, str)):
        limits |= {f"{rule.rule} {name}": value for name, value in rule.model_dump(exclude={"rule"}, exclude_none=True).items()}
    return ", ".join([*rules, *(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in limits.items())])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
