"""Numbers of a card may not be edited, words may."""

from __future__ import annotations

import pytest

from regraft.reports.card.render import Line
from regraft.reports.card.verify import mismatches, numbers

EXPECTED = [
    Line("# demo, version 3", "journal entry 5"),
    Line("Made with care.", "card.json"),
    Line("| numpy | 50 | 0.610 (0.500 to 0.700) |", "evidence/predictions/base.parquet"),
    Line("| torch | 50 | 0.400 (0.300 to 0.500) |", "evidence/predictions/base.parquet"),
    Line("| finetune | 12.5 |", "records/finetune.json"),
]
CARD = "".join(f"{line.text}\n" for line in EXPECTED)


@pytest.mark.parametrize(
    "text",
    [
        CARD,
        CARD.replace("Made with care.", "Made in a hurry."),
        CARD.replace("Made with care.\n", ""),
        CARD + "\nAsk the data team.\n",
        CARD.replace("| numpy", "\n|  numpy "),
    ],
)
def test_a_card_may_be_edited_where_it_holds_no_numbers(text):
    assert list(mismatches(text, EXPECTED)) == []


@pytest.mark.parametrize(
    ("was", "becomes", "row", "rule", "words"),
    [
        ("0.610", "0.910", 3, "evidence/predictions/base.parquet", "it says 0.910"),
        ("12.5", "2.5", 5, "records/finetune.json", "records/finetune.json gives 12.5"),
        ("version 3", "version 4", 1, "journal entry 5", "it says 4"),
        ("| finetune | 12.5 |\n", "", None, "records/finetune.json", "missing"),
        ("Made with care.", "99 % right.", 2, "number", "no artifact says this: 99 % right."),
        ("| numpy |", "| scipy |", 3, "evidence/predictions/base.parquet", "it says scipy"),
    ],
)
def test_a_number_that_its_artifact_does_not_say_is_named(was, becomes, row, rule, words):
    (problem,) = mismatches(CARD.replace(was, becomes), EXPECTED)
    assert (problem.get("row"), problem["rule"], problem["file"]) == (row, rule, "README.md")
    assert words in problem["message"]


def test_swapped_rows_are_found():
    lines = CARD.splitlines()
    lines[2], lines[3] = lines[3].replace("torch", "numpy"), lines[2].replace("numpy", "torch")
    assert len(list(mismatches("\n".join(lines), EXPECTED))) == 2


def test_numbers_are_counted_as_words_with_a_digit():
    assert numbers("| numpy | 50 | 0.610 (0.500 to 0.700) |") == 4
