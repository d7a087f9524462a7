"""Earlier tasks in a pipeline file: what is asked, what a change of it reruns, and what a probe makes of real encoders."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from tinyspace import TOPICS, sentence

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.data.earlier_tasks import read_task
from regraft.data.options import EarlierRows
from regraft.execution.resolve import write_resolved

DATA = "data/earlier/topics.csv"


def write_earlier(path: Path, rows: int = 200) -> None:
    """Sentences of the topics, under labels of another task."""
    rng = random.Random(9)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(("text", "kind"))
        out.writerows((sentence(rng, sorted(TOPICS)[n % 3], 10), "abc"[n % 3]) for n in range(rows))


def gate(budget: float = 0.1, **changes: Any) -> dict[str, Any]:
    return {"earlier_tasks": {"max_accuracy_loss": budget, "tasks": {"topics": {"data": DATA, "label": "kind", **changes}}}}


def configure(workspace: Workspace, gates: list[Any] | None) -> None:
    """Write ``gates`` into the pipeline file; None takes them out."""
    value = yaml.safe_load(workspace.pipeline_file("tiny").read_text())
    value.pop("gates", None)
    files.write_text(workspace.pipeline_file("tiny"), yaml.safe_dump({**value, **({"gates": gates} if gates else {})}, sort_keys=False))


@pytest.fixture
def earlier(tiny: Workspace) -> Workspace:
    write_earlier(tiny.root / DATA)
    return tiny


def test_a_pipeline_without_the_gate_has_no_such_step_and_the_sections_it_always_had(earlier: Workspace, cli: Callable[..., Any]) -> None:
    before, stages = earlier.resolved_file("tiny").read_bytes(), (earlier.root / "dvc.yaml").read_text()
    assert b"earlier" not in before
    assert "earlier" not in stages
    configure(earlier, [{"at_least": 0.3}])
    plain = write_resolved(earlier, "tiny")
    configure(earlier, [{"at_least": 0.3}, gate()])
    assert cli("dvc").code == 0
    assert "step earlier_tasks" in (earlier.root / "dvc.yaml").read_text()
    resolved = yaml.safe_load(earlier.resolved_file("tiny").read_text())
    for candidate in ("base", "adapted"):
        assert resolved.pop(f"earlier_tasks-{candidate}")["tasks"] == {
            "topics": {"data": DATA, "text": "text", "label": "kind", "digest": files.digest(earlier.root / DATA)}
        }
    assert {**resolved, "gates": resolved["gates"][:1]} == plain
    configure(earlier, None)
    assert cli("dvc").code == 0
    assert (earlier.resolved_file("tiny").read_bytes(), (earlier.root / "dvc.yaml").read_text()) == (before, stages)


def test_changed_rows_change_the_section_of_the_step_alone_and_a_changed_budget_none(earlier: Workspace) -> None:
    configure(earlier, [gate(0.1)])
    first = write_resolved(earlier, "tiny")
    configure(earlier, [gate(0.2)])
    second = write_resolved(earlier, "tiny")
    assert [key for key in first if first[key] != second[key]] == ["gates"]
    with (earlier.root / DATA).open("a") as handle:
        handle.write("one more,a\n")
    third = write_resolved(earlier, "tiny")
    assert [key for key in second if second[key] != third[key]] == ["earlier_tasks-base", "earlier_tasks-adapted"]


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ([gate(data="data/earlier/topic.csv")], "data/earlier/topic.csv is not there; did you mean data/earlier/topics.csv?"),
        ([gate(lable="kind")], "topics.lable: unknown; did you mean label?"),
        ([gate(0.0)], "greater than 0"),
        ([{"earlier_tasks": {"max_accuracy_loss": 0.1}}], "tasks: missing"),
        ([{"earlier_tasks": {"max_accuracy_loss": 0.1, "tasks": {}}}], "at least 1"),
        ([gate(data="hub:a/b")], "rows of another task are a file or folder of the workspace"),
        ([gate(text="kind")], "`text` and `label` are both the column 'kind'"),
        ([gate(), gate(0.2)], "`earlier_tasks` stands there more than once"),
        ([{**gate(), "metric": "mcc"}], "`earlier_tasks` does not read `metric`"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_exit_2_with_its_line(earlier: Workspace, cli: Callable[..., Any], gates: list[Any], says: str) -> None:
    configure(earlier, gates)
    said = cli("plan", "tiny", "--json")
    assert said.code == 2
    (error,) = said.json["errors"]
    assert says in error["message"]
    lines = earlier.pipeline_file("tiny").read_text().splitlines()
    assert (error["row"] or 0) > lines.index("gates:")


def test_a_file_without_the_column_is_told_before_a_run_begins(earlier: Workspace, cli: Callable[..., Any]) -> None:
    configure(earlier, [gate(label="label")])
    said = cli("run", "tiny")
    assert said.code == 3
    assert f"{DATA}:1: no column 'label'" in said.err
    assert "as `text` or `label` of the earlier task" in said.err
    assert not earlier.artifacts("tiny", "contract").exists()


def test_rows_that_carry_no_probe_leave_no_output(earlier: Workspace, cli: Callable[..., Any]) -> None:
    write_earlier(earlier.root / DATA, 30)
    configure(earlier, [gate()])
    write_resolved(earlier, "tiny")
    for step in ("pretrain", "finetune-adapted"):
        shutil.copytree(earlier.root / "models/tiny", earlier.artifacts("tiny", step) / "out" / "model")
    said = cli("step", "earlier_tasks-adapted", "--pipeline", "tiny", "--step-version", "2")
    assert said.code == 3
    assert f"{DATA}: 30 different rows" in said.err
    assert "next: add rows" in said.err
    assert not (earlier.artifacts("tiny", "earlier_tasks-adapted") / "out").exists()
    assert not (earlier.artifacts("tiny", "earlier_tasks-adapted") / "record.json").exists()


def test_equal_encoders_answer_alike_and_one_that_lost_its_words_does_not(earlier: Workspace) -> None:
    from regraft.gates.earlier_tasks import right
    from regraft.training.earlier_tasks import answers

    base = earlier.root / "models/tiny"
    tasks = {"topics": read_task("topics", EarlierRows(data=DATA, label="kind", digest=files.digest(earlier.root / DATA)), 17)}
    stages = {name: shutil.copytree(base, earlier.root / name) for name in ("copy", "deaf", "broken")}
    for name, change in (("deaf", 0.0), ("broken", np.nan)):
        weights = load_file(base / "model.safetensors")
        weights["embeddings.word_embeddings.weight"] *= np.float32(change)
        save_file(weights, str(stages[name] / "model.safetensors"), metadata={"format": "pt"})
    said = answers({"came": base, **stages}, tasks, 16)["topics"]
    assert said.labels == tasks["topics"][1].labels
    assert said.answers["copy"] == said.answers["came"]
    assert right(said, "came").mean() > 0.7
    assert right(said, "deaf").mean() < 0.5
    assert set(said.answers["broken"]) == {None}


def test_features_do_not_depend_on_the_order_of_texts(earlier: Workspace) -> None:
    from regraft.training.earlier_tasks import Frozen

    frozen, rng = Frozen.load(earlier.root / "models/tiny", "cpu"), random.Random(1)
    texts = list({sentence(rng, "garden", 3 + n % 9) for n in range(150)})
    there = frozen.features(texts, 16)
    assert (there == frozen.features(texts[::-1], 16)[::-1]).all()
    assert there[0] == pytest.approx(frozen.features(texts[:1], 16)[0], abs=1e-6)  # padding is no token
