"""Decisions of 0.1 and 0.2 as they were stored: evidence, verdict and measurements, which have to come out byte for byte.

``golden/decisions.tar.xz`` holds one folder a decision, written by 0.2's own code: every gate, every outcome and every shape of
sentence that the unit tests of 0.2 brought about.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from regraft.core import files
from regraft.gates.decide import Evaluation, reevaluate
from regraft.gates.telling import row, sentence
from regraft.gates.verdict import render

GOLDEN = Path(__file__).parents[1] / "golden" / "decisions.tar.xz"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Evaluation]:
    """Folder of a decision -> what is decided of it today."""
    folder = tmp_path_factory.mktemp("decisions")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    return {path.parent: reevaluate(path.parent) for path in sorted(folder.glob("*/decision.json"))}


def test_decisions_of_earlier_versions_are_rebuilt_byte_for_byte(stored):
    assert {files.read_json(folder / "decision.json")["schema"] for folder in stored} == {1, 2}
    for folder, evaluation in stored.items():
        for name, text in evaluation.texts().items():
            assert text.encode() == (folder / name).read_bytes(), f"{folder.name}/{name}"


def test_a_finding_of_today_holds_every_number_that_a_sentence_of_0_2_said(stored):
    """The living words are others than those frozen; what they are about is the same."""
    for folder, evaluation in stored.items():
        today = json.loads(render(evaluation.verdict))["findings"]
        said = files.read_json(folder / "verdict.json")["findings"]
        for finding, old in zip(today, said, strict=True):
            assert "sentence" not in finding
            if "ROC AUC" not in old["sentence"]:  # 0.8875 rounded twice is 0.887
                assert numbers(sentence(finding)) == numbers(old["sentence"]), (sentence(finding), old["sentence"])


def numbers(text: str) -> set[str]:
    """The numbers in a sentence, but for the power of 80 %, which is no longer said of every one."""
    return set(re.findall(r"\d[\d,.]*\d|\d", text)) - {"80"}


def test_every_finding_has_five_cells_and_a_number_has_its_range_and_what_was_needed(stored):
    for evaluation in stored.values():
        for finding in json.loads(render(evaluation.verdict))["findings"]:
            cells = row(finding)
            assert cells.requirement
            assert cells.result == finding["outcome"]
            assert [bool(text) for text in (cells.needed, cells.measured, cells.range)] == [finding["value"] is not None] * 3
