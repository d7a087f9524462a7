"""The length that the data choose, what is cut at it, and what is said of that; also what an upgrade does to files without the key."""

from __future__ import annotations

import pytest
import yaml

from regraft.core.workspace import Workspace
from regraft.training.lengths import cut_share, length_for, percent, sentence, warning
from regraft.upkeep import kept_defaults

NUMBERS = {"max_length": 64, "cut_train": 0.12, "cut_dev": 0.1, "cut_test": 0.0, "max_length_for_train": 200, "cut_train_there": 0.001}


@pytest.mark.parametrize(
    ("lengths", "most", "chosen"),
    [
        ([3, 9, 41], 512, 48),  # the longest, in steps of eight
        ([3, 9, 48], 512, 48),
        ([5], 512, 16),  # no shorter
        ([700] * 3, 512, 512),  # no longer
        ([60] * 3, 50, 50),  # nor than the model's positions
        ([10] * 999 + [400], 512, 16),  # one of 1,000 is spared
        ([10] * 998 + [400], 512, 400),  # of fewer none
        ([10] * 1_998 + [100, 400], 512, 16),
        ([10] * 1_997 + [100, 400, 400], 512, 104),
    ],
)
def test_a_length_cuts_at_most_one_row_in_a_thousand(lengths, most, chosen):
    assert length_for(lengths, most) == chosen
    assert length_for(list(reversed(lengths)), most) == chosen


def test_a_row_of_exactly_the_length_is_whole():
    assert (cut_share([63, 64, 65, 66], 64), cut_share([64], 64)) == (0.5, 0.0)


def test_what_is_cut_is_told_for_every_split_and_never_rounded_to_nothing():
    assert sentence(NUMBERS) == (
        "12 % of the train rows, 10 % of the dev rows and 0 % of the test rows are longer than the 64 tokens that are read, and cut there"
    )
    assert sentence({"max_length": 64, "cut_train": 0.0, "cut_test": 0.0}) == "no text is longer than the 64 tokens that are read"
    assert sentence({"tokens": 3}) is None
    assert [percent(share) for share in (0, 0.0001, 0.0051, 1)] == ["0 %", "less than 1 %", "1 %", "100 %"]


def test_from_five_percent_of_one_split_on_it_is_a_warning_with_the_length_that_helps():
    assert str(warning(NUMBERS)).endswith("; finetune.max_length: 200 would cut less than 1 % of the train rows, left out it is chosen so")
    assert warning({**NUMBERS, "cut_train": 0.0499, "cut_dev": 0.02}) is None
    assert warning({**NUMBERS, "cut_train": 0.0, "cut_dev": 0.0, "cut_test": 0.05}) is not None
    most = {**NUMBERS, "max_length": 512, "max_length_for_train": 512, "cut_train_there": 0.12}
    assert str(warning(most)).endswith("no more than 512 can be read: put first what matters, or make several rows of a long text")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("version: 1\n# ours\nseed: 3  # three\n", "\nfinetune:\n  max_length: 64\n"),
        ("version: 1\nseed: 3", "\nfinetune:\n  max_length: 64\n"),
        ("version: 1\nfinetune:\n    # many\n    epochs: 3\n", "    max_length: 64  # what regraft 0.2 cut texts at\n    epochs: 3"),
        ("version: 1\nfinetune: {epochs: 3}\n", "finetune: {max_length: 64, epochs: 3}"),
        ("version: 1\nfinetune: {}\n", "finetune: {max_length: 64}"),
    ],
)
def test_an_upgrade_writes_the_old_default_and_nothing_else(tmp_path, text, line):
    file = tmp_path / "pipelines" / "one.yaml"
    file.parent.mkdir()
    file.write_text(text)
    assert kept_defaults.keep(Workspace(tmp_path), "0.2.0") == (["pipelines/one.yaml"], [])
    assert line in file.read_text()
    before, now = yaml.safe_load(text), yaml.safe_load(file.read_text())
    assert now.pop("finetune") == {**before.pop("finetune", {}), "max_length": 64}
    assert now == before
    assert kept_defaults.keep(Workspace(tmp_path), "0.2.0") == ([], [])


@pytest.mark.parametrize(
    ("text", "version", "left"),
    [
        ("version: 1\nfinetune: {max_length: 32}\n", "0.2.0", []),
        ("version: 1\n", "0.3.0.dev0", []),
        ("version: 1\nfinetune:\n", "0.1.0", ["pipelines/one.yaml"]),
        ("{version: 1}\n", "0.2.0", ["pipelines/one.yaml"]),
        ("version: [\n", "0.2.0", []),  # its owners are told by `plan`
    ],
)
def test_what_has_the_key_or_cannot_be_edited_safely_stays_as_it_is(tmp_path, text, version, left):
    file = tmp_path / "pipelines" / "one.yaml"
    file.parent.mkdir()
    file.write_text(text)
    assert kept_defaults.keep(Workspace(tmp_path), version) == ([], left)
    assert file.read_text() == text
