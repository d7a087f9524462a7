"""A stray quote takes in the rows below it; a text of several lines does not look like that."""

from __future__ import annotations

from pathlib import Path

import pytest

from regraft.core.errors import DataRejected
from regraft.data.reading import read_rows
from regraft.data.rows import Row
from regraft.data.sources import Source

COLUMNS = ("id", "text", "label")
WORDS = ("rose bloom under the old hedge", "stir the pan and taste", "tide and keel before noon")
LABELS = ("garden", "kitchen", "harbour")


def lines(mark: str = ",", rows: int = 60, ids: str = "{label}-{n:03d}") -> list[str]:
    text = [mark.join(COLUMNS)]
    for n in range(rows):
        label = LABELS[n % 3]
        text.append(mark.join((ids.format(label=label, n=n), f"{WORDS[n % 3]} {n}", label)))
    return text


def read(folder: Path, text: list[str], name: str = "rows.csv", *, tsv_quoted: bool = False) -> list[Row]:
    (folder / name).write_text("\n".join(text) + "\n")
    return list(read_rows(Source("data.labelled", folder / name, name, tsv_quoted=tsv_quoted), COLUMNS, COLUMNS))


def swallow(text: list[str], first: int, last: int, mark: str = ",") -> list[str]:
    """A quote before the text of line ``first`` and one behind that of line ``last``, as an editor counts."""
    changed = list(text)
    key, words, label = changed[first - 1].split(mark)
    changed[first - 1] = mark.join((key, f'"{words}', label))
    key, words, label = changed[last - 1].split(mark)
    changed[last - 1] = mark.join((key, f'{words}"', label))
    return changed


@pytest.mark.parametrize(("first", "last"), [(5, 45), (5, 6), (2, 61), (30, 32)])
@pytest.mark.parametrize("ids", ["{label}-{n:03d}", "{n}", "0a{n}f-77"])
def test_a_quote_that_swallows_rows_is_refused_with_the_line_where_it_opened(tmp_path, first, last, ids):
    with pytest.raises(DataRejected) as refused:
        read(tmp_path, swallow(lines(ids=ids), first, last))
    (problem,) = refused.value.problems
    assert (problem["rule"], problem["row"]) == ("csv.swallowed", first)
    assert f"takes in all up to line {last}" in problem["message"]


def test_rows_swallowed_into_a_row_that_is_broken_anyhow_are_refused_too(tmp_path):
    text = lines()
    text[4] = text[4].replace(",", ',"', 1)
    text[21] = text[21].replace("keel", '"keel"')  # the quote opened above ends before a letter: csv's own error, 16 lines further down
    with pytest.raises(DataRejected) as refused:
        read(tmp_path, text)
    assert ("csv.swallowed", 5) in [(problem["rule"], problem["row"]) for problem in refused.value.problems]


@pytest.mark.parametrize("value", [
    "Street 5, Old Town\nCountry, 12345",
    "first, second\nthird, fourth\nfifth, sixth",
    "dear all,\n\nthe hedge, as they say,\nis old, and so am I,\n\nbest,\nrose",
    'he said ""no"",\nand she, too, said ""no""',
    "1, one\n2, two\n3, three",
])  # fmt: skip
@pytest.mark.parametrize("at", [1, 20])
def test_a_text_of_several_lines_is_a_text(tmp_path, value, at):
    text = lines()
    text.insert(at, f'garden-999,"{value}",garden')
    rows = read(tmp_path, text)
    assert len(rows) == 61
    assert rows[at - 1].values == {"id": "garden-999", "text": value.replace('""', '"'), "label": "garden"}


def test_a_tsv_file_is_read_as_it_stands(tmp_path):
    rows = read(tmp_path, swallow(lines("\t"), 5, 45, "\t"), "rows.tsv")
    assert len(rows) == 60
    assert rows[3].values["text"] == f'"{WORDS[0]} 3'


def test_a_tsv_file_of_a_spreadsheet_is_read_where_the_pipeline_says_so(tmp_path):
    text = ["id\ttext\tlabel", '1\t"says ""hi"",\nand goes"\ta']
    (row,) = read(tmp_path, text, "rows.tsv", tsv_quoted=True)
    assert row.values["text"] == 'says "hi",\nand goes'


def test_a_quoted_header_of_a_tsv_file_names_the_key_that_declares_it(tmp_path):
    with pytest.raises(DataRejected, match="the names of the header are in quotes") as refused:
        read(tmp_path, ['"id"\t"text"\t"label"', '"1"\t"x"\t"a"'], "rows.tsv")
    assert refused.value.problems[0]["fix"] == "write data: {tsv_quoted: true} in the pipeline file"
