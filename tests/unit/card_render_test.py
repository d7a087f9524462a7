"""A card as the hub reads it, and as it was decided that cards of schema 1 look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from regraft.evaluation.stats.measured import Measured
from regraft.execution.records import model_digest
from regraft.registry.journal import Entry
from regraft.reports.card.facts import ByClass, Facts, flat, share
from regraft.reports.card.render import Said, card, lines
from regraft.reports.card.verify import mismatches

GOLDEN = Path(__file__).parents[1] / "golden" / "card.md"


def record(step: str, inputs: dict[str, str], **params: object) -> dict[str, object]:
    return {
        "step": step, "step_version": 1, "fingerprint": f"print-of-{step}", "run": "demo-1", "params": params, "metrics": {"rows": 1200},
        "inputs": {name: {"path": path, "hash": f"hash-of-{name}"} for name, path in inputs.items()},
        "outputs": {"model/w.safetensors": f"sha-of-{step}"}, "seconds": 2.25, "peak_mb": 1100, "device": "cpu", "precision": "fp32",
        "threads": 1, "versions": {"torch": "2.13.0"}, "git": {"sha": "c0ffee", "dirty": True},
    }  # fmt: skip


RECORDS = {
    "contract": record("contract", {"labelled": "data/rows"}, contract={"columns": [{"name": "id"}, {"name": "text"}]}),
    "finetune": record("finetune", {"rows": "artifacts/demo/contract/out/rows.parquet"}, finetune={"max_length": 64, "rate": 3e-4}),
    "finetune_base": record(
        "finetune_base", {"rows": "artifacts/demo/contract/out/rows.parquet"}, base_model="hub:a/b@12", base_digest="b"
    ),
}
DIGEST = str(model_digest(RECORDS["finetune"]))
FINDING = {"gate": "at_least", "against": None, "metric": "macro_f1", "value": 0.7, "low": 0.6, "high": 0.8, "threshold": 0.3, "n": 30}
VERDICT = {
    "schema": 1, "pipeline": "demo", "outcome": "pass", "candidate": {"name": "adapted", "digest": DIGEST}, "policy_digest": "0c0756",
    "champion": {"version": "2", "digest": "feed"}, "rows": {"digest": "08b84f", "n": 30},
    "findings": [{**FINDING, "outcome": "pass", "sentence": "adapted scores 0.700 macro-F1 on 30 test rows."}],
}  # fmt: skip
FACTS = Facts(
    entry=Entry(
        5, "2026-01-01T00:00:00+00:00", "demo", "register", None, {"version": "3", "digest": DIGEST}, DIGEST, "demo-1", "ada", "", "", ""
    ),
    version="3",
    mlflow_run_id="34dae5",
    verdict=VERDICT,
    seed=17,
    resamples=9999,
    labels=("a|b", "numpy"),
    scores={
        model: {"macro_f1": Measured(value, value - 0.1, value + 0.1, 0.0, 0.95)} for model, value in (("tfidf", 0.5), ("adapted", 0.7))
    },
    classes=(ByClass("a|b", 20, 15, 14), ByClass("numpy", 10, 0, 0)),
    records=RECORDS,
)
SAID = Said(intended_use="Sorts sentences.", license="mit", language=("en", "de"), base_license="apache-2.0")


def test_a_card_of_schema_1_looks_as_it_was_decided():
    made = card(FACTS, replace(SAID, schema=1))
    assert made == GOLDEN.read_text(encoding="utf8"), "old cards would no longer verify: raise regraft.reports.card.SCHEMA"


def test_a_card_has_its_requirements_as_page_and_terminal_have_them():
    made = card(FACTS, SAID)
    assert "card: 2\n" in made
    assert "| requirement | needed | measured | range | result |\n" in made
    assert "| macro-F1: floor | at least 0.300 | 0.700 | 0.600 to 0.800 | pass |" in made


def test_the_hub_s_own_reader_finds_the_results_in_the_front_matter():
    data = ModelCard(card(FACTS, SAID)).data
    assert (data.license, data.language, data.base_model, data.library_name) == ("mit", ["en", "de"], "a/b", "mlflow")
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_revision) == ("f1", 0.7, "08b84f")


def test_a_card_verifies_against_itself():
    assert list(mismatches(card(FACTS, SAID), lines(FACTS, SAID))) == []


def test_the_lineage_holds_the_steps_that_led_to_the_model_and_no_other():
    assert [found["step"] for found in FACTS.lineage] == ["contract", "finetune"]


def test_a_card_without_records_and_words_says_what_it_does_not_know():
    bare = card(Facts(**{**vars(FACTS), "records": {}}), Said())
    assert "Not stated: `card.intended_use` in pipelines/demo.yaml says it." in bare
    assert "Base model: `not known`" in bare


@pytest.mark.parametrize(
    ("method", "params", "made", "base"),
    [
        (
            "tfidf",
            {},
            "A text classifier, made by `tfidf` of the labelled rows alone.",
            "Base model: none; it is made of the labelled rows alone.",
        ),
        ("lora", {"base_model": "a", "base_digest": "b"}, "made by `lora` of the adapted model.", "Base model: `a`, digest `b`."),
    ],
)
def test_a_model_that_was_not_fine_tuned_is_not_said_to_be(method, params, made, base):
    tuned = {**RECORDS["finetune"], "params": {"finetune": {"method": method}, **params}}
    shown = card(Facts(**{**vars(FACTS), "records": {**RECORDS, "finetune": tuned}}), SAID)
    assert made in shown
    assert base in shown


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(14, 15, 0.701835, 0.988133), (0, 10, 0.0, 0.277533), (10, 10, 0.722467, 1.0)]
)  # closed form, z = 1.959964
def test_shares_have_wilson_s_interval(hits, n, low, high):
    found = share(hits, n)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))
    assert share(0, 0) is None


def test_parameters_are_told_flat_and_named_things_by_their_names():
    assert dict(flat({"a": {"b": 1, "c": [{"name": "x"}, {"name": "y"}]}, "d": ["en", 2]})) == {"a.b": 1, "a.c": "x, y", "d": "en, 2"}
