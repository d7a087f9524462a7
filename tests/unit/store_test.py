"""What production rests on, from one place."""

from __future__ import annotations

import re
from pathlib import Path

import regraft
from regraft.core.workspace import Workspace
from regraft.registry.store import store_of

PARTS = re.compile(r"\b(Journal|Ledger|PredictionStore|ServingStore)\(")


def test_the_parts_of_a_store_are_made_in_one_place_alone():
    sources = Path(regraft.__file__).parent.rglob("*.py")
    makers = {path.name for path in sources if PARTS.search(re.sub(r"^class .*$", "", path.read_text(), flags=re.MULTILINE))}
    assert makers == {"store.py"}


def test_looking_at_a_store_makes_nothing(tmp_path):
    store = store_of(Workspace(tmp_path))
    assert (store.latest("demo"), store.journals(), store.journal("demo").entries(), store.ledger.count("rows")) == (None, [], [], 0)
    assert (store.predictions.get("model", "rows"), store.serving.get("model")) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_the_last_result_is_the_one_that_was_kept_last(tmp_path):
    store = store_of(Workspace(tmp_path))
    for run in ("demo-1", "demo-2"):
        store.keep_latest("demo", {"run": run})
    assert store.latest("demo") == {"run": "demo-2"}
