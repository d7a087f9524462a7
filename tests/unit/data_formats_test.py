"""The same rows come out of every format, and a file that is not what its name says is told by name, place and way on."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regraft.core.errors import DataRejected
from regraft.data.documents import read_corpus
from regraft.data.formats import suffix_of
from regraft.data.reading import read_rows
from regraft.data.rows import Row
from regraft.data.sources import Source

COLUMNS = ("id", "text", "label")
ROWS = [
    {"id": "007", "text": 'says "hi",\tthere', "label": "NA"},
    {"id": "2", "text": "two\nlines · 日本", "label": "b"},
    {"id": "3", "text": " ", "label": "c"},
]


def separated(mark: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter=mark)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, object]] | pa.Table = ROWS, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    ".csv": lambda: separated(","),
    ".tsv": lambda: separated("\t"),
    ".jsonl": lambda: "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    ".parquet": parquet,
}


def read(path: Path, *, tsv_quoted: bool = True) -> list[Row]:
    return list(read_rows(Source("data.labelled", path, path.name, tsv_quoted=tsv_quoted), COLUMNS, COLUMNS))


def problems(path: Path) -> list[dict[str, object]]:
    with pytest.raises(DataRejected) as caught:
        read(path)
    return list(caught.value.problems)


@pytest.mark.parametrize("name", [*FORMATS, ".csv.gz", ".tsv.gz", ".jsonl.gz", ".CSV", ".Csv.GZ"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    content = FORMATS[suffix_of(Path(f"a{name}"))]()
    path = tmp_path / f"a.b{name}"
    path.write_bytes(gzip.compress(content, mtime=0) if name.lower().endswith(".gz") else content)
    assert [row.values for row in read(path)] == [{**row, "text": row["text"] if row["text"].strip() else None} for row in ROWS]


def test_a_parquet_integer_is_its_digits_and_nothing_else_is_taken_for_text(tmp_path):
    table = pa.table({
        "id": pa.array([1, 2], pa.int64()), "text": pa.array(["x", None]).dictionary_encode(),
        "label": pa.array(["a", "b"], pa.large_string()),
        "weight": [0.5, None], "tags": [["p", "q"], []], "when": pa.array([0, 1], pa.timestamp("s")),
    })  # fmt: skip
    (tmp_path / "rows.parquet").write_bytes(parquet(table))
    first, second = read(tmp_path / "rows.parquet")
    assert first.values == {"id": "1", "text": "x", "label": "a", "weight": "0.5", "tags": '["p", "q"]', "when": '"1970-01-01 00:00:00"'}
    assert (second.number, second.values["text"], second.values["weight"], second.faults) == (2, None, None, ())
    json.dumps(first.raw)


@pytest.mark.parametrize("kind", [pa.float64(), pa.bool_(), pa.list_(pa.string()), pa.binary()])
def test_a_parquet_column_of_another_type_is_a_fault_of_the_file_with_a_way_on(tmp_path, kind):
    value = {pa.float64(): 0.5, pa.bool_(): True, pa.binary(): b"x"}.get(kind, ["x"])
    (tmp_path / "rows.parquet").write_bytes(parquet(pa.table({"id": ["1"], "text": ["x"], "label": pa.array([value], kind)})))
    [problem] = problems(tmp_path / "rows.parquet")
    assert (problem["rule"], problem["column"]) == ("parquet.type", "label")
    way = "write the one value of 'label' in its place" if pa.types.is_list(kind) else "cast 'label' to string"
    assert way in problem["fix"]


def test_bytes_that_are_no_text_in_a_parquet_column_are_the_fault_of_their_row(tmp_path):
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffx"))
    (tmp_path / "rows.parquet").write_bytes(parquet(pa.table({"id": ["1", "2"], "text": bad, "label": ["a", "b"]})))
    first, second = read(tmp_path / "rows.parquet")
    assert (first.faults[0].rule, first.values["text"], second.faults, second.values["text"]) == ("text.utf8", None, (), "x")


@pytest.mark.parametrize("at", [0.02, 0.5, 0.98])
def test_a_truncated_parquet_file_is_said_and_no_traceback(tmp_path, at):
    whole = parquet([{"id": str(n), "text": f"text {n}", "label": "a"} for n in range(3000)])
    (tmp_path / "rows.parquet").write_bytes(whole[: int(len(whole) * at)])
    assert [problem["rule"] for problem in problems(tmp_path / "rows.parquet")] == ["file.parquet"]


def test_a_parquet_file_damaged_in_the_middle_says_after_which_row(tmp_path):
    rows = [{"id": str(n), "text": f"text {n}", "label": "a"} for n in range(40_000)]
    whole = bytearray(parquet(rows, row_group_size=10_000, compression="zstd", use_dictionary=False))
    whole[len(whole) * 2 // 3 : len(whole) * 2 // 3 + 2000] = b"\xff" * 2000
    (tmp_path / "rows.parquet").write_bytes(whole)
    [problem] = problems(tmp_path / "rows.parquet")
    assert problem["rule"] == "file.parquet"
    assert 10_000 < problem["row"] < 40_000


PLAIN = b"id,text,label\n" + b"".join(b"%d,text %d,a\n" % (n, n) for n in range(20_000))


@pytest.mark.parametrize(("name", "content", "rule", "says", "fix"), [
    ("a.csv.gz", PLAIN, "file.gzip", "not gzip", "mv a.csv.gz a.csv"),
    ("a.csv.gz", gzip.compress(PLAIN, mtime=0)[:9000], "file.gzip", "it was cut short", "gzip -t a.csv.gz"),
    ("a.csv.gz", gzip.compress(PLAIN, mtime=0)[:-8] + b"\0" * 8, "file.gzip", "CRC", "gzip -t a.csv.gz"),
    ("a.csv.gz", gzip.compress(b"", mtime=0), "file.empty", "empty", "fill it"),
    ("a.csv.gz", gzip.compress(b"id,text,label\n1,\xff,a\n", mtime=0), "file.utf8", "byte 16 is 0xff", "gunzip -c a.csv.gz | iconv -f "),
    ("a.csv", gzip.compress(PLAIN, mtime=0), "file.type", "the file is gzip", "mv a.csv a.csv.gz"),
    ("a.csv", parquet(), "file.type", "the file is Parquet", "mv a.csv a.parquet"),
    ("a.csv", b"PK\x03\x04....", "file.type", "zip archive or a spreadsheet", "save it as CSV"),
    ("a.parquet", PLAIN, "file.parquet", "not a whole Parquet file", "again"),
    ("a.parquet", b"", "file.empty", "empty", "fill it"),
    ("a.parquet", parquet(pa.table({name: pa.array([], pa.string()) for name in COLUMNS})), "file.rows", "no rows", "add rows"),
    ("a.parquet", parquet([{"id": "1", "text": "x"}]), "header.required", "no column 'label'", "task"),
    ("a.tsv", b"id,text,label\n1,x,a\n", "csv.delimiter", "commas in it", "name it .csv"),
    ("a.csv", b"id\ttext\tlabel\n1\tx\ta\n", "csv.delimiter", "tabs in it", "name it .tsv"),
    ("a.json", b"[]", "file.type", "reads .csv, .tsv, .jsonl (each also as .gz) and .parquet", "jq -c '.[]' a.json > a.jsonl"),
    ("a.parquet.gz", gzip.compress(parquet(), mtime=0), "file.type", "reads", "gunzip a.parquet.gz"),
    ("a.csv.zst", b"", "file.type", "reads", "unzstd a.csv.zst"),
    ("a.dat", b"", "file.type", "reads", "convert it or move it away"),
    ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "file.type", "Git LFS pointer", "git lfs pull"),
])  # fmt: skip
def test_a_file_that_is_not_what_it_should_be_is_told_with_the_way_on(tmp_path, name, content, rule, says, fix):
    (tmp_path / name).write_bytes(content)
    [problem] = problems(tmp_path / name)
    assert (problem["file"], problem["rule"]) == (name, rule)
    assert says in problem["message"]
    assert fix in problem["fix"]


def test_a_gzip_file_cut_short_says_in_which_line(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(PLAIN, mtime=0)[:9000])
    [problem] = problems(tmp_path / "a.csv.gz")
    done = int(problem["message"].split("after ")[1].split()[0].replace(",", ""))
    assert problem["row"] == PLAIN[:done].count(b"\n") + 1


def test_several_places_are_read_in_the_order_listed_and_one_file_only_once(tmp_path):
    for name in ("b.csv", "f/a.tsv", "f/z.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(separated("\t" if name.endswith("tsv") else ","))
    inputs = {"labelled.0": tmp_path / "b.csv", "labelled.1": tmp_path / "f"}
    source = Source.of("data.labelled", inputs, ("b.csv", "f"), tsv_quoted=True)
    assert [row.file for row in read_rows(source, COLUMNS, COLUMNS)][::3] == ["b.csv", "f/a.tsv", "f/z.csv"]
    again = Source.of("data.labelled", {**inputs, "labelled.2": tmp_path / "f" / "z.csv"}, ("b.csv", "f", "f/z.csv"))
    with pytest.raises(DataRejected, match=r"is listed twice, once as f/z\.csv"):
        list(read_rows(again, COLUMNS, COLUMNS))


def test_a_column_that_one_of_several_files_lacks_names_that_file(tmp_path):
    (tmp_path / "a.csv").write_bytes(separated(","))
    (tmp_path / "b.csv").write_text("id,text,class\n1,x,a\n")
    (tmp_path / "c.parquet").write_bytes(parquet([{"id": "1", "label": "x"}]))
    assert [(item["file"], item["column"]) for item in problems(tmp_path)] == [
        (f"{tmp_path.name}/b.csv", "label"), (f"{tmp_path.name}/c.parquet", "text"),
    ]  # fmt: skip


def test_a_link_that_leads_nowhere_is_not_silently_left_out(tmp_path):
    (tmp_path / "a.csv").write_bytes(separated(","))
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    assert [item["rule"] for item in problems(tmp_path)] == ["file.exists"]


def test_a_corpus_may_be_packed_paragraphs_and_tables_of_every_kind(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\n\ntwo\n", mtime=0))
    (tmp_path / "b.parquet").write_bytes(parquet([{"text": "three"}, {"text": None}]))
    (tmp_path / "c.tsv").write_text("text\tn\nfour\t1\n")
    corpus = read_corpus(Source("data.corpus", tmp_path, "c"), "text")
    assert [(document.where, document.text) for document in corpus.documents] == [
        ("c/a.txt.gz:1", "one"), ("c/a.txt.gz:3", "two"), ("c/b.parquet:1", "three"), ("c/c.tsv:2", "four"),
    ]  # fmt: skip
    (tmp_path / "a.txt.gz").write_bytes(b"not packed")
    with pytest.raises(DataRejected, match=r"c/a.txt.gz: the name promises .gz, but the file is not gzip"):
        list(read_corpus(Source("data.corpus", tmp_path, "c"), "text").documents)
