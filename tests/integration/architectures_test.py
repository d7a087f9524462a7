"""The table "architectures tried" of docs/models.md: adapted, fine-tuned, cut and continued to the same digest, registered, served.

``tried`` is what this test did with a small model of random weights; a row that says otherwise fails it.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
from tinyspace import TOPICS, sentence, tiny_rows

from regraft.core import files, progress
from regraft.core.errors import ConfigError, Interrupted
from regraft.core.workspace import Workspace
from regraft.data.packing import pack
from regraft.models import base_model, kinds, tokenizer
from regraft.models.families import family_in, frame_in
from regraft.registry import registration
from regraft.registry.tracking import Tracker
from regraft.training import pretraining
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options, pretrain_options
from regraft.training.workers import Team

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
LABELS = ["garden", "harbour", "kitchen"]
QUICK = ("gpt2", "modernbert", "t5")
"""Those that stand for the others where time counts: one of each family."""
SLOW = pytest.mark.release("gpt2, modernbert and t5, one of each family, go the same way")
TRIED = (
    "albert", "bert", "deberta-v2", "distilbert", "electra", "encoder-decoder", "gemma2", "gpt2", "llama", "modernbert", "mpnet", "mt5",
    "qwen2", "roberta", "t5", "umt5", "xlm-roberta",
)  # fmt: skip


def rows_of_table() -> dict[str, str]:
    """Type -> the rest of its row."""
    table = PAGE.read_text(encoding="utf8").partition("## Architectures tried")[2]
    return {match[1]: match[2].strip() for match in re.finditer(r"^\| `([\w-]+)` \| (.*) \|$", table, re.MULTILINE)}


@pytest.mark.parametrize("model_type", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in TRIED])
def test_a_tried_architecture_is_adapted_fine_tuned_continued_and_served(model_type, tmp_path, monkeypatch):
    base = tiny_models.make(tmp_path / "base", model_type)
    base_model.check("models/base", base)
    family = family_in(base)
    tokens = packed(base, tmp_path / "tokens")
    whole, cut = (trained(base, tokens, tmp_path / name, monkeypatch, stop) for name, stop in (("whole", False), ("cut", True)))
    assert files.digest(whole) == files.digest(cut)
    assert served(whole, tmp_path) < 1e-5
    assert rows_of_table()[model_type] == f"{family.name} | `{family.objective}`, `{family.method}` | tried"


@pytest.mark.parametrize("model_type", ["bloom", "opt", "openai-gpt", "mpt", "biogpt"])
def test_a_refused_architecture_says_why_at_the_plan(model_type, tmp_path):
    base = tiny_models.make(tmp_path / "base", "gpt2")
    config = files.read_json(base / "config.json")
    files.write_json(base / "config.json", {**config, "model_type": model_type})
    with pytest.raises(ConfigError) as refused:
        base_model.check("models/base", base)
    why = re.search(r"config\.json: (model_type .*?);", str(refused.value))
    assert why
    assert rows_of_table()[model_type] == f"none | none | refused: {why[1]}"


def test_the_table_has_no_row_that_nobody_tries():
    assert sorted(rows_of_table()) == sorted([*TRIED, "bloom", "opt", "openai-gpt", "mpt", "biogpt"])


def packed(base: Path, folder: Path) -> Path:
    rng = random.Random(2)
    documents = [sentence(rng, topic, 20) for topic in sorted(TOPICS) for _ in range(20)]
    folder.mkdir()
    pack([(documents, [number % 5 == 0 for number in range(60)])], tokenizer.backend(base), 32, folder, frame_in(base))
    return folder


def trained(base: Path, tokens: Path, home: Path, monkeypatch: pytest.MonkeyPatch, stop: bool) -> Path:
    """The model that adaptation and fine-tuning leave; ``stop``: each of the two is cut after its third batch, and goes on."""
    family = family_in(base)
    rows = pd.DataFrame(tiny_rows(per_class=8))
    rows["split"] = ["dev" if number % 4 == 0 else "train" for number in range(len(rows))]
    adapting = pretrain_options(
        {"objective": family.objective, "budget_tokens": 1000, "head_warmup_tokens": 200, "sequence_length": 32, "batch_size": 8}
    )
    tuning = finetune_options({}, {"method": family.method, "epochs": 3, "batch_size": 8, "max_length": 24})
    parts = (
        lambda: pretraining.pretrain(base, tokens, adapting, 17, home / "adapted"),
        lambda: finetune(home / "adapted", rows, LABELS, tuning, name="finetune", text_column="text", seed=17, out=home / "model"),
    )
    for place, part in enumerate(parts):
        with progress.running(progress.Running(pipeline="p", step="s", checkpoints=home / "checkpoints" / str(place))):
            if stop:
                with monkeypatch.context() as patch:
                    patch.setattr(Team, "step", stopping_after(3, Team.step))
                    with pytest.raises(Interrupted):
                        part()
                progress.STOP.clear()
            part()
    return home / "model"


def stopping_after(count, take):
    seen = []

    def wrapped(self, step, *more):
        seen.append(step)
        if len(seen) == count:
            progress.STOP.set()
        return take(self, step, *more)

    return wrapped


def served(folder: Path, scratch: Path) -> float:
    """By how much plain MLflow's probabilities of the registered model differ from those of scoring, at most."""
    import mlflow

    texts = ["salt oven", "tide keel rope of the old small harbour", "soil"]
    tracker = Tracker(Workspace(scratch / "workspace"))
    run = "demo-20260101T000001-abcdef"
    version = registration.register(
        tracker, "demo", run_id=tracker.start_run("demo", run), run_name=run, model_dir=folder, digest=files.digest(folder),
        verdict={"outcome": "pass", "rows": {"digest": "rows"}, "champion": None}, input_example=texts, data_hashes={}, git_sha=None,
    )  # fmt: skip
    model = mlflow.pyfunc.load_model(str(registration.model_root(tracker, "demo", version)))
    answers = model.predict(texts, params={"probabilities": True})["probabilities"].tolist()
    return float(np.abs(np.array([[row[label] for label in LABELS] for row in answers]) - kinds.load(folder).predict(texts)).max())
