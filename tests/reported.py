"""Evidence of a decided run made up of numbers, for the tests of its page: no MLflow, no model, milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regraft.evaluation.predictions import Table
from regraft.evaluation.stats.slices import SliceTable
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, judge
from regraft.gates.registry import default_gates
from regraft.gates.verdict import Champion, Rows
from regraft.registry.tracking import TrackedRun
from regraft.reports.evidence import Evidence
from regraft.reports.standing import standing

SKILL = {"adapted": 0.8, "base": 0.7, "tfidf": 0.5, "champion": 0.6}
BASE = f"hub:somebody/a-small_encoder@{'7' * 40}"
CANDIDATES = ("adapted", "base")
STEPS = ("contract", "corpus", "pretrain", *(f"finetune-{name}" for name in CANDIDATES), "tfidf", "score-adapted")
HOSTILE = "<script>alert(1)</script>"


def evidence(
    *,
    classes: Sequence[str] = ("garden", "harbour", "kitchen"),
    rows: int = 300,
    skill: dict[str, float] | None = None,
    gates: tuple[GateOptions, ...] = default_gates(),
    champion_problem: dict[str, str] | None = None,
    decisions: int | None = None,
    text: str = "a text",
) -> Evidence:
    """A run with ``rows`` test rows, whose models are right with the given probabilities; without "champion" there is none."""
    skill = SKILL if skill is None else skill
    rng = np.random.default_rng(1)
    truth = rng.integers(0, len(classes), rows)
    ids, labels = [f"r{n:05d}" for n in range(rows)], [classes[c] for c in truth]
    tables = {model: _answers(rng, ids, labels, truth, classes, skill[model]) for model in skill}
    region = [f"region {n % 4}" for n in range(rows)]
    champion = Champion("3", "c" * 64) if "champion" in skill else None
    case = Case(
        pipeline="tiny",
        policy=Policy(gates, 17, 999),
        digests={"adapted": "a" * 64, "base": "b" * 64},
        rows=Rows("d" * 64, rows),
        predictions={model: table.for_gates() for model, table in tables.items()},
        champion=champion,
        champion_problem=champion_problem,
        slices=SliceTable(ids, {"region": region}),
        decisions=decisions,
    )
    loss = [(step, 3.0 - step / 50) for step in range(1, 100)]
    return Evidence(
        run=TrackedRun("0" * 32, "tiny-20260101T000000-abcdef", "tiny", "FINISHED", "pass"),
        case=case,
        verdict=judge(case).document(),
        tables=tables,
        records={
            step: record(step) for step in ("contract", "corpus", "pretrain", "finetune-adapted", "finetune-base", "tfidf", "score-adapted")
        },
        curves={
            "pretrain": {"loss": loss, "heldout_loss": [(99, 1.1)]},
            "finetune-adapted": {"loss": loss},
            "finetune-base": {"loss": loss},
        },
        history=(),
        standing=standing((), "a" * 64),
        test={"id": ids, "text": [f"{text} {row}" for row in ids], "label": labels, "region": region},
        train=None,
        counts={"by_rule": {"label.valid_values": 2}},
    )


def _answers(rng: np.random.Generator, ids: list[str], labels: list[str], truth: np.ndarray, classes: Sequence[str], right: float) -> Table:
    said = np.where(rng.random(len(ids)) < right, truth, rng.integers(0, len(classes), len(ids)))
    p = rng.random((len(ids), len(classes))).astype(np.float32)
    p[np.arange(len(ids)), said] += 2
    return Table.of(ids, labels, p / p.sum(axis=1, keepdims=True), classes)


def record(step: str) -> dict[str, object]:
    """A step's record, as far as a page looks at it."""
    metrics: dict[str, dict[str, float]] = {
        "contract": {"read": 120, "accepted": 118, "quarantined": 2},
        "corpus": {"train": 80, "dev": 10, "test": 28, "documents": 150, "dropped_labelled": 0},
        "pretrain": {"head_steps": 20, "tokens": 2000},
        "tfidf": {"rows": 80},
    }
    base = {"base_model": BASE, "base_digest": "5" * 64} if step in ("pretrain", "finetune-base") else {}
    return {
        "step": step,
        "step_version": 1,
        "params": {"seed": 17, **base},
        "fingerprint": "f" * 64,
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "peak_mb": 300,
        "device": "cpu",
        "threads": 2,
        "precision": "fp32",
        "exact": True,
        "git": {"sha": None, "dirty": None},
        "run": "tiny-20260101T000000-abcdef",
        "metrics": metrics.get(step, {}),
        "inputs": {"rows": {"path": f"artifacts/tiny/{step}/rows", "hash": "e" * 64}},
        "outputs": {"model/model.safetensors": "1" * 64},
        "versions": {"python": "3.11.7"},
    }
