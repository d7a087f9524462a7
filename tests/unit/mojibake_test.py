from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.data.mojibake import Misread, repaired

LETTERS = "äöüßéèçñøåœÄÖÜ€“”–"  # noqa: RUF001


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("text", ["Grüße aus Köln", "l’été à Noël", "12 € – “billig”", "Привет, мир", "日本語です", "naïve façade"])  # noqa: RUF001
def test_a_text_that_was_decoded_twice_is_seen_and_reads_as_it_was_meant(text, encoding):
    misread = "".join(bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in text.encode())
    assert misread != text
    assert repaired(misread) == text


@pytest.mark.parametrize(
    "text",
    [
        "plain", "Grüße aus Köln", "„Ä“ und »Ä«", "le café\xa0» et à\xa0« la", "“MAÇÃ”", "São Paulo não", "5 °C, 3 ± 1 µm, § 4",
        "© 2026 ÅÄÖ", "Привет", "日本語", "ΑΒΓ", "É\xa0!", "Â", "Ã",
    ],
)  # fmt: skip
def test_a_text_that_is_right_is_left_alone(text):
    assert repaired(text) is None


@given(st.text(alphabet=LETTERS + "ab ", min_size=1))
def test_what_is_repaired_was_made_by_decoding_twice(text):
    twice = text.encode().decode("cp1252", "replace")
    if "\ufffd" not in twice and twice != text:
        assert repaired(twice) == text


def test_misread_texts_are_counted_with_the_word_and_the_row_of_the_first():
    misread = Misread()
    for number, text in enumerate(["gut", "fÃ¼r alle", "StraÃŸe"]):
        misread.note(text, f"row {number}")
    assert misread.sentence is not None
    assert misread.sentence.startswith("2 rows look as if read in a wrong encoding and saved so, such as 'fÃ¼r' for 'für' (row 1):")
    assert Misread.of(["gut", "für"]).sentence is None
