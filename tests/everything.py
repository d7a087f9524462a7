"""The tiny workspace after one run that asks for everything: its gates ask for every step there is, and all of them pass.

The run takes a minute on two idle cores, so there is one a session: whatever is only read afterwards reads this one, and what
changes something starts from a copy, in which a run computes only what was changed.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tinyspace import TOPICS, sentence

from regraft.core import files
from regraft.data.split import split_of
from regraft.gates import telling

CANDIDATES = ("base", "adapted")


def of_each(*steps: str) -> tuple[str, ...]:
    """The instances of steps that run for every candidate."""
    return tuple(f"{step}-{candidate}" for step in steps for candidate in CANDIDATES)


STEPS = ("contract", "splits", "corpus", "tokens", "pretrain", *of_each("finetune"), "tfidf", "held_out", *of_each("score"))
"""Steps of every pipeline."""
ASKED_FOR = (*of_each("probes"), "overlap", "suspects", *of_each("forgetting", "earlier_tasks", "seeds"))
"""Steps that a pipeline has because its gates ask for them."""

FLOOR = {"metric": "macro_f1", "at_least": 0.01}
CLEAN = {"metric": "accuracy", "at_least": 0.01, "rows": "clean"}
FLIPS = {"negative_flips": {"max": 1.0}}
TEMPLATES = {"templates": {"file": "pipelines/tiny.templates.yaml"}}
CALIBRATION = {"calibration": {"max_ece": 1, "max_brier": 2, "min_coverage": 0.05}}
COST = {"cost": {"p95_ms_batch_1": 60_000, "p50_ms_batch_32": 60_000, "peak_mb": 64_000, "size_mb": 10}}
SEEDS = {"seeds": 3}
CASES = {
    "name": "a blank more",
    "pairs": [["we find the {thing}", "we  find the {thing}"]],
    "expect": "same",
    "fill": {"thing": ["keel", "rope"]},
}


def probing(rate: float) -> list[dict[str, Any]]:
    """Budgets that any model keeps, where ``rate`` is high, and that 31 rows cannot show where it is low."""
    return [
        {"robustness": {"max_failure_rate": rate, "tests": ["case", "whitespace"], "min_rows": 10}},
        {"counterfactual": {"max_flip_rate": rate, "terms": "terms.yaml", "min_rows": 10}},
        {"fairness": {"groups": ["text_script", "half"], "max_gap": rate, "min_rows": 10}},
    ]


def forgetting(budget: float) -> dict[str, Any]:
    """At most ``budget`` nats more on the general text."""
    return {"forgetting": {"max_loss_increase": budget, "text": "data/general.txt"}}


def earlier_tasks(budget: float) -> dict[str, Any]:
    """At most ``budget`` less accuracy on the earlier task."""
    task = {"data": "data/earlier.jsonl", "text": "said", "label": "topic"}
    return {"earlier_tasks": {"max_accuracy_loss": budget, "tasks": {"topics": task}}}


KEPT = [CALIBRATION, forgetting(5.0)]
"""Gates that stay where others go: `abstain` needs the one, and the other is a question to the step `pretrain` too."""
GATES = [FLOOR, CLEAN, FLIPS, *probing(0.95), TEMPLATES, COST, *KEPT, earlier_tasks(0.5), SEEDS]
PIPELINE = {
    # 25 steps to warm up the heads of `forgetting`, not 196; four of the adaptation itself
    "pretrain": {"budget_tokens": 8000, "head_warmup_tokens": 2000, "sequence_length": 64, "batch_size": 32},
    "gates": GATES,
    "abstain": {"precision": 0.1},
    "notify": {"command": "cat >> told.jsonl"},
    "card": {"intended_use": "Sorts places."},
}


@dataclass(frozen=True)
class Ran:
    """A workspace, the result of its last run, and what that run printed."""

    root: Path
    result: dict[str, Any]
    out: str

    def record(self, step: str) -> dict[str, Any]:
        """The record of a step."""
        return dict(files.read_json(self.root / "artifacts" / "tiny" / step / "record.json"))

    @property
    def evidence(self) -> Path:
        """What MLflow has of the decision."""
        return self.root / "state/mlartifacts/tiny" / self.result["mlflow_run_id"] / "artifacts" / "evidence"

    def findings(self, gate: str) -> list[dict[str, Any]]:
        """What the verdict says of a gate."""
        every = files.read_json(self.evidence / "verdict.json")["findings"]
        return [{**finding, "sentence": telling.sentence(finding)} for finding in every if finding["gate"] == gate]

    def finding(self, gate: str) -> dict[str, Any]:
        """What the verdict says of a gate that stands there once."""
        (finding,) = self.findings(gate)
        return finding

    @property
    def measurements(self) -> dict[str, Any]:
        """What was measured beside the gates."""
        return dict(files.read_json(self.evidence / "measurements.json"))


def prepare(root: Path) -> None:
    """Make the tiny workspace in ``root`` one whose run asks for everything; its rows get a column ``half``."""
    write_earlier_task(root / "data" / "earlier.jsonl")
    write_general(root / "data" / "general.txt", root / "models/tiny/tokenizer.json", 200)
    leak_a_test_row(root / "data" / "rows.jsonl")
    rows = [json.loads(line) for line in (root / "data" / "rows.jsonl").read_text().splitlines()]
    write_lines(root / "data" / "rows.jsonl", [{**row, "half": ("first", "second")[int(row["id"][-1]) % 2]} for row in rows])
    terms = {"version": 1, "terms": {"size": {"large": ["large"], "small": ["small"]}}}
    files.write_text(root / "terms.yaml", yaml.safe_dump(terms))
    write_templates(root, CASES)
    configure(root, **PIPELINE)


def refuse(ran: Ran) -> None:
    """Ask for what the model of ``ran`` does not keep: no answer of a model changes, so no model is trained or timed again."""
    impossible = {"name": "the impossible", "pairs": [["we find the keel", "we  find the keel"]], "expect": "different"}
    write_templates(ran.root, CASES, impossible)
    undecided = {**FLOOR, "at_least": ran.findings("at_least")[0]["value"]}
    calibration, cost = {"max_brier": 0.001, "min_coverage": 0.05}, {**COST["cost"], "size_mb": 0.01}
    more = [{"calibration": calibration}, {"cost": cost}, forgetting(5.0), earlier_tasks(0.5), SEEDS]
    configure(ran.root, gates=[undecided, {**CLEAN, "at_least": 0.99}, FLIPS, *probing(0.01), TEMPLATES, *more])


def configure(root: Path, **changes: Any) -> None:
    """Change keys of the pipeline file; a mapping is merged into the one that is there."""
    path = root / "pipelines" / "tiny.yaml"
    pipeline = yaml.safe_load(path.read_text())
    for key, change in changes.items():
        pipeline[key] = {**pipeline.get(key, {}), **change} if isinstance(change, dict) else change
    files.write_text(path, yaml.safe_dump(pipeline, sort_keys=False))


def write_templates(root: Path, *tests: dict[str, Any]) -> None:
    """The team's own test cases."""
    files.write_text(root / "pipelines" / "tiny.templates.yaml", yaml.safe_dump({"version": 1, "tests": list(tests)}, sort_keys=False))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON document a line."""
    files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_earlier_task(path: Path) -> None:
    """400 rows of the same topics under other names."""
    rng, topics = random.Random(9), sorted(TOPICS)
    write_lines(path, [{"said": sentence(rng, topics[n % 3], 10), "topic": "abc"[n % 3]} for n in range(400)])


def write_general(path: Path, vocabulary: Path, documents: int) -> None:
    """Texts of no topic: every word is followed by its neighbour in the alphabet."""
    words = sorted(word for word in files.read_json(vocabulary)["model"]["vocab"] if word.isalpha())
    draw = random.Random(5)
    starts = [draw.randrange(len(words)) for _ in range(documents)]
    texts = [" ".join(words[(start + n) % len(words)] for n in range(40 + number % 7)) for number, start in enumerate(starts)]
    files.write_text(path, "\n\n".join(texts) + "\n")


def leak_a_test_row(path: Path) -> None:
    """A test row stands inside a training row twice as long, which no duplicate check calls its duplicate."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    test, other = (next(row for row in rows if split_of(17, row["id"], 0.25, 0.1) == split) for split in ("test", "train"))
    key = next(key for n in range(100) if split_of(17, key := f"longer-{n}", 0.25, 0.1) == "train")
    longer = {"id": key, "text": f"{other['text']}. {test['text'].upper()}!", "label": test["label"]}
    write_lines(path, [*rows, longer])
