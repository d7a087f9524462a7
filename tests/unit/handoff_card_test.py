"""The data card of a version: front matter that the Hugging Face hub reads, and what labels and columns mean."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml
from huggingface_hub import DatasetCard

from regraft.data.contract_file import read_contract
from regraft.data.handoff import card
from regraft.data.handoff.changes import Diff
from regraft.data.handoff.history import Version
from regraft.data.options import TaskOptions

CONTRACT = {
    "apiVersion": "v3.2.0", "kind": "DataContract", "id": "tickets", "version": "1", "status": "active", "name": "Tickets: of May",
    "tags": ["support"], "description": {"purpose": "who answers", "limitations": "not for people"},
    "schema": [{"name": "rows", "properties": [
        {"name": "ticket", "required": True, "unique": True},
        {"name": "body", "description": "what | was <b>written", "logicalTypeOptions": {"maxLength": 90}},
        {"name": "team", "enum": [{"value": "billing", "description": "money"}, {"value": "returns", "label": "back"}]},
    ]}],
}  # fmt: skip
TASK = TaskOptions(id="ticket", text="body", label="team")


def rendered(folder: Path, rows: int) -> str:
    (folder / "own.contract.yaml").write_text(yaml.safe_dump(CONTRACT, sort_keys=False))
    diff = Diff(labels_after=Counter({"billing": 7, "returns": 5}))
    diff.count(("relabelled",), "returns", "billing")
    counts = {"read": 3, "accepted": 1, "quarantined": 2}
    version = Version(
        4, 3, "handoff", "2026-05-04T10:10:00+00:00", "mia", diff.sentence(), {}, "may.csv", "d" * 64, None, counts, {}, diff.document()
    )
    return card.render("tickets", version, rows, TASK, read_contract(folder / "own.contract.yaml"))


def test_the_front_matter_is_one_that_the_hub_reads(tmp_path):
    front = DatasetCard(rendered(tmp_path, 1_000)).data.to_dict()
    assert front == {
        "pretty_name": "Tickets: of May", "task_categories": ["text-classification"], "size_categories": ["1K<n<10K"],
        "tags": ["regraft", "support"],
        "dataset_info": {
            "features": [{"name": name, "dtype": "string"} for name in ("ticket", "body", "team")],
            "splits": [{"name": "labelled", "num_examples": 1000}],
        },
    }  # fmt: skip


def test_a_card_says_what_labels_and_columns_mean_and_what_changed(tmp_path):
    text = rendered(tmp_path, 12)
    for line in (
        "# Tickets: of May, version 4", "**Purpose.** who answers", "**Limits.** not for people",
        "| billing | money | 7 |", "| returns | back | 5 |", "1 row with another label.",
        "From `may.csv`: read 3, accepted 1, quarantined 2.", "| returns | billing | 1 |",
        "| ticket |  | required, unique |", "| body | what \\| was &lt;b>written | maxLength 90 |",
    ):  # fmt: skip
        assert line in text.splitlines(), text
