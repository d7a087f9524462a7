"""The gate `forgetting` in a pipeline file: what it adds to a run, how it decides one both ways, and what bad input gets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from everything import FLOOR, Ran, configure, earlier_tasks, write_general
from workbench import told

from regraft.core import files
from regraft.core.errors import DataRejected, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.core.workspace import Workspace
from regraft.data.options import GeneralText
from regraft.training import forgetting, pretraining
from regraft.training.general_text import pack_general
from regraft.training.options import pretrain_options
from regraft.training.workers import Team

OPTIONS = pretrain_options(
    {"budget_tokens": 20_000, "head_warmup_tokens": 500, "sequence_length": 32, "batch_size": 8, "learning_rate": 2e-2}
)


def gate(budget: float, **more: object) -> dict[str, object]:
    return {"forgetting": {"max_loss_increase": budget, "text": "data/general.txt", **more}}


def test_what_was_measured_is_what_the_gate_judged_and_the_page_shows(everything: Ran) -> None:
    found = everything.finding("forgetting")
    assert (found["outcome"], found["threshold"]) == ("pass", 5.0)
    assert found["low"] <= found["value"] <= found["high"]
    metrics = everything.record("forgetting-base")["metrics"]
    (stage,) = (s for s in everything.measurements["forgetting"]["stages"] if s["stage"] == "finetune_base")
    assert stage["loss"]["value"] == pytest.approx(metrics["finetuned_loss"], abs=1e-6)
    assert 'id="forgetting"' in (everything.root / everything.result["report"]).read_text()


@pytest.mark.release("unit/gates_forgetting_test.py and unit/gates_earlier_tasks_test.py judge budgets that are broken")
def test_a_model_that_forgets_is_refused_and_the_champion_stays(ran: Ran) -> None:
    configure(ran.root, abstain=None, gates=[FLOOR, gate(0.0), earlier_tasks(0.1)], finetune={"learning_rate": 0.5})
    failed = replace(ran, result=told(ran.root, 4, "run", "tiny"))
    assert "above the budget of 0.000" in failed.finding("forgetting")["sentence"]
    assert "above the budget of 0.100" in failed.finding("earlier_tasks")["sentence"]
    assert failed.result["champion"]["version"] == "1"


def test_a_pipeline_without_the_gate_has_no_such_step_and_the_section_it_always_had(tiny: Workspace, cli: Callable[..., Any]) -> None:
    before = tiny.resolved_file("tiny").read_bytes()
    stages = (tiny.root / "dvc.yaml").read_text()
    assert "forgetting" not in stages
    assert b"forgetting" not in before
    write_general(tiny.root / "data" / "general.txt", tiny.root / "models/tiny/tokenizer.json", 5)
    configure(tiny.root, gates=[gate(0.1)])
    assert cli("dvc").code == 0
    assert "step forgetting-base" in (tiny.root / "dvc.yaml").read_text()
    section = yaml.safe_load(tiny.resolved_file("tiny").read_text())["pretrain"]["forgetting"]
    assert section == {
        "max_loss_increase": 0.1,
        "general": {"text": "data/general.txt", "digest": files.digest(tiny.root / "data/general.txt"), "column": "text"},
    }
    value = yaml.safe_load(tiny.pipeline_file("tiny").read_text())
    del value["gates"]
    files.write_text(tiny.pipeline_file("tiny"), yaml.safe_dump(value, sort_keys=False))
    assert cli("dvc").code == 0
    assert (tiny.resolved_file("tiny").read_bytes(), (tiny.root / "dvc.yaml").read_text()) == (before, stages)


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ([gate(0.1, text="data/corpsu.jsonl")], "data/corpsu.jsonl is not there; did you mean data/corpus.jsonl?"),
        ([{"forgetting": {"max_loss_increase": 0.1, "txt": "a"}}], "txt: unknown; did you mean text?"),
        ([{"forgetting": {"max_loss_increase": -1}}], "greater than or equal to 0"),
        ([{"forgetting": {"max_loss_increase": 0.1, "text": "hub:a/b"}}], "general text is a file or folder of the workspace"),
        ([gate(0.1), gate(0.2)], "`forgetting` stands there more than once"),
        ([{**gate(0.1), "metric": "mcc"}], "`forgetting` does not read `metric`"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_exit_2_with_its_line(tiny: Workspace, cli: Callable[..., Any], gates: list[Any], says: str) -> None:
    configure(tiny.root, gates=gates)
    said = cli("plan", "tiny", "--json")
    assert said.code == 2
    (error,) = said.json["errors"]
    assert says in error["message"]
    lines = tiny.pipeline_file("tiny").read_text().splitlines()
    assert (error["row"] or 0) > lines.index("gates:")


def stop_at_batch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The run is asked to stop when it learns from so many batches."""
    take, seen = Team.step, []

    def counted(self: Team, step: int, *more: float) -> Any:
        seen.append(step)
        if len(seen) == number:
            STOP.set()
        return take(self, step, *more)

    monkeypatch.setattr(Team, "step", counted)


@pytest.fixture
def general(tiny: Workspace) -> GeneralText:
    path = tiny.root / "data" / "general.txt"
    write_general(path, tiny.root / "models/tiny/tokenizer.json", 120)
    return GeneralText(text="data/general.txt", digest=files.digest(path), column="text")


def test_adaptation_that_would_spend_more_ends_early_wherever_it_was_cut(
    tiny: Workspace, general: GeneralText, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regraft.data.packing import pack
    from regraft.models.tokenizer import backend

    base, tokens = tiny.root / "models/tiny", tiny.root / "tokens"
    for folder in ("tokens", "general"):
        (tiny.root / folder).mkdir()
    texts = [json.loads(line)["text"] for line in (tiny.root / "data/corpus.jsonl").read_text().splitlines()]
    pack([(texts, [number % 10 == 0 for number in range(len(texts))])], backend(base), 32, tokens)
    budget = pretraining.Budget(pack_general(general, base, 32, tiny.root / "general"), 0.02)
    whole = pretraining.pretrain(base, tokens, OPTIONS, 17, tiny.root / "whole", budget)
    assert whole["stopped_early"] == 1
    assert whole["steps"] == 10
    assert whole["tokens"] == whole["steps"] * 8 * 32
    assert whole["general_loss"] - whole["general_loss_before"] <= 0.02 < whole["general_loss_refused"] - whole["general_loss_before"]

    stop_at_batch(monkeypatch, 16)
    with running(Running(pipeline="tiny", checkpoints=tiny.root / "checkpoints")):
        with pytest.raises(Interrupted):
            pretraining.pretrain(base, tokens, OPTIONS, 17, tiny.root / "cut", budget)
        STOP.clear()
        assert pretraining.pretrain(base, tokens, OPTIONS, 17, tiny.root / "cut", budget) == whole
    assert files.tree(tiny.root / "cut") == files.tree(tiny.root / "whole")


def test_heads_are_warmed_up_alike_so_that_equal_encoders_cost_the_same_and_a_cut_changes_nothing(
    tiny: Workspace, general: GeneralText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "WARMUP_TOKENS", 4_000)
    base = tiny.root / "models/tiny"
    stages = {"came": base, "copy": Path(shutil.copytree(base, tiny.root / "copy"))}
    asked = (stages, base, general, OPTIONS, 128, 17, tiny.root)
    masked, nats = forgetting.measure(*asked)
    assert (nats["came"] == nats["copy"]).all()
    assert masked.min() > 0

    stop_at_batch(monkeypatch, 20)
    with running(Running(pipeline="tiny", checkpoints=tiny.root / "checkpoints")):
        with pytest.raises(Interrupted):
            forgetting.measure(*asked)
        STOP.clear()
        again = forgetting.measure(*asked)
    assert all((again[1][name] == nats[name]).all() for name in nats)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("two words\n", "does not fill a sequence of 32 tokens"),
        ("\n\n".join(f"zzz{number} " * 60 for number in range(60)), "knows no word of the general text"),
        ("", "the file is empty"),
    ],
)
def test_text_that_nothing_can_be_measured_on_is_refused(tiny: Workspace, content: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "WARMUP_TOKENS", 300)
    path = tiny.root / "data" / "general.txt"
    files.write_text(path, content)
    text = GeneralText(text="data/general.txt", digest=files.digest(path), column="text")
    base = tiny.root / "models/tiny"
    with pytest.raises(DataRejected, match=says):
        forgetting.measure({"came": base}, base, text, OPTIONS, 16, 17, tiny.root)
