import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from regraft.config.pipeline import PipelineOptions
from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.data.docstrings import dedent, find_package, read_library, read_module
from regraft.upkeep import demo
from regraft.upkeep.demo_data import libraries, sentences
from regraft.upkeep.demo_data.sentences import LIBRARIES, MASK, NAMES, ROWS, deal, gist, masker, sentence

SMALL = ("peft", "pydantic")
MODULE = b'''"""Tools for tests."""
class Table:
    """Rows and columns.

        Indented.
    Last.
    """
    def read(self):
        """Read a table."""
        def inner():
            "Closure."
    if True:
        def read(self, path): """Read a table from a path."""
x = """no docstring"""
def bad(): "\\ud800"
'''


def doc(i: int, text: str) -> bytes:
    return f'def f{i}():\n    """{text}"""\n'.encode()


# -- reading


def test_every_documented_object_is_read_by_its_dotted_path_and_bad_text_is_not() -> None:
    found = [(d.name, d.nth, d.text) for d in read_module("lib.mod", MODULE)]
    assert found == [
        ("lib.mod", 1, "Tools for tests."),
        ("lib.mod.Table", 1, "Rows and columns.\n\n    Indented.\nLast."),
        ("lib.mod.Table.read", 1, "Read a table."),
        ("lib.mod.Table.read.inner", 1, "Closure."),
        ("lib.mod.Table.read", 2, "Read a table from a path."),
    ]


@pytest.mark.parametrize("source", [b"def (", b"\x00", b"type X[T] = list[T]\n"])
def test_a_file_outside_the_common_grammar_is_skipped_by_every_python(source: bytes) -> None:
    assert list(read_module("lib.mod", b'"""Doc."""\n' + source)) == []


@pytest.mark.parametrize(
    ("raw", "text"),
    [("  a", "a"), ("a\n    b\n      c\n    ", "a\nb\n  c"), ("\n    a\n\n    b", "a\n\nb"), ("a\r\n\tb", "a\nb"), ("   ", "")],
)
def test_indentation_is_removed_as_pep_257_says(raw: str, text: str) -> None:
    assert dedent(raw) == text


def test_tests_and_vendored_code_are_not_read(tmp_path: Path) -> None:
    for name in ("__init__.py", "io/core.py", "tests/a.py", "_vendor/b/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'"""Doc."""\n')
    assert [d.module for d in read_library("lib", tmp_path)] == ["lib", "lib.io.core"]


def test_a_namespace_folder_is_not_taken_for_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder_of_settings").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.util.find_spec("folder_of_settings") is not None
    assert find_package("folder_of_settings") is None


# -- dealing


@pytest.mark.parametrize(
    ("library", "text", "masked"),
    [
        ("numpy", "Convert np.ndarray and NumPy scalars to input.", f"Convert {MASK}.ndarray and {MASK} scalars to input."),
        ("peft", "Wraps a PeftModel around the given base model.", f"Wraps a {MASK}Model around the given base model."),
        ("sklearn", "Base class of scikit-learn and sklearn estimators.", f"Base class of {MASK} and {MASK} estimators."),
        ("great_expectations", "Merge the GX Cloud page with the given images.", f"Merge the {MASK} Cloud page with the given images."),
        ("pandas", "A numpy array that holds the given values as floats.", "A numpy array that holds the given values as floats."),
    ],
)
def test_a_library_is_masked_by_all_its_names_and_other_libraries_are_not(library: str, text: str, masked: str) -> None:
    assert sentence(text, masker(library)) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Too short to say it.",
        "Far too long. " * 20,
        ">>> f(1)  # a doctest that is long enough to pass",
        "Parameters\n----------\nx : the values of the input array",
        "x (`int`, *optional*): the number of the values to keep",
        "Read the given table. Returns: a data frame with the rows",
        "a_1 b_2 c_3 d_4 e_5 f_6 g_7 h_8 i_9 j_10 k_11",
    ],
)
def test_what_is_no_sentence_is_no_row(text: str) -> None:
    assert sentence(text, masker("numpy")) is None


def test_one_docstring_in_four_may_be_a_document_from_the_end_that_rows_are_not_chosen_from() -> None:
    source = b"".join(doc(number, f"Short {number}.") for number in range(2_000))
    _, documents = deal("numpy", list(read_module("numpy.x", source)), frozenset())
    assert 400 < len(documents) < 600
    assert min(document.id for document in documents) >= "c"


def test_rows_are_deduplicated_by_gist_and_their_objects_leave_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "FIRST_DOCUMENT", "")
    source = b"".join(
        [
            doc(0, "Return the sum of all values in the table.\n\n    More words."),
            doc(1, "Return the sum of all values in the table.\n\n    Other words."),
            doc(2, "Return the sum of all values in the table_2."),
            doc(3, "Every library has this sentence of boilerplate."),
            doc(4, "Short."),
        ]
    )
    recurring = frozenset({gist("Every library has this sentence of boilerplate.")})
    rows, documents = deal("numpy", list(read_module("numpy.x", source)), recurring)
    assert len(rows) == 2
    assert {row.label for row in rows} == {"numpy"}
    assert {row.source for row in rows} == {"numpy.x"}
    assert not {row.id for row in rows} & {document.id for document in documents}
    assert sorted(document.text for document in documents) == ["Every library has this sentence of boilerplate.", "Short."]


def test_another_object_in_a_library_does_not_change_the_ids_and_texts_of_its_rows() -> None:
    few = b"".join(doc(i, f"Return the {word} of all values in it.") for i, word in enumerate(["sum", "mean", "spread"]))
    before, _ = deal("numpy", list(read_module("numpy.x", few)), frozenset())
    after, _ = deal("numpy", list(read_module("numpy.x", doc(9, "Return the largest of all values in it.") + few)), frozenset())
    assert {(row.id, row.text) for row in before} < {(row.id, row.text) for row in after}


# -- what is installed


@pytest.fixture(scope="module")
def shares() -> list[libraries.Share]:
    recurring = frozenset(files.read_json(demo.REFERENCE)["recurring"])
    return [libraries.read(library, version(library), recurring) for library in SMALL]


def test_the_installed_libraries_give_the_rows_and_the_corpus_of_the_manifest(shares: list[libraries.Share]) -> None:
    expected = files.read_json(demo.REFERENCE)["libraries"]
    for share in shares:
        if share.version != expected[share.library]["version"]:
            pytest.skip(f"{share.library} {share.version} is not the version of the manifest")
        assert share.facts() == expected[share.library]


def test_the_manifest_has_200_rows_of_each_of_the_16_libraries() -> None:
    expected = files.read_json(demo.REFERENCE)["libraries"]
    assert {library: facts["rows"] for library, facts in expected.items()} == dict.fromkeys(LIBRARIES, ROWS)
    assert len(LIBRARIES) == 16


def test_no_row_names_its_library(shares: list[libraries.Share]) -> None:
    for share in shares:
        text = " ".join(json.loads(line)["text"] for line in share.rows.splitlines())
        assert not re.search("|".join(map(re.escape, NAMES[share.library][0])), text, re.IGNORECASE)


def test_reading_imports_none_of_the_libraries() -> None:
    code = (
        "import sys; from regraft.upkeep.demo_data.libraries import read\n"
        "before = set(sys.modules); read('pydantic', '0', frozenset()); print('pydantic' in set(sys.modules) - before)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_missing_libraries_are_named_at_once_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "LIBRARIES", ("pydantic", "no-such-library", "nor-this"))
    with pytest.raises(EnvironmentFault, match="not installed: no-such-library, nor-this") as caught:
        libraries.versions()
    assert caught.value.fix == "pip install 'regraft[demo]'"


# -- the folder


@pytest.fixture
def folder(tmp_path: Path, shares: list[libraries.Share], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The demo of two of the libraries; how they are read is tested above."""
    monkeypatch.setattr(demo, "read_all", lambda: shares)
    monkeypatch.setattr(demo, "versions", lambda: {share.library: share.version for share in shares})
    yield tmp_path / "data" / "demo"
    left = {path.name for path in (tmp_path / "data").iterdir()} if (tmp_path / "data").exists() else {"demo"}
    assert left == {"demo"}, "a build leaves nothing beside its folder"


def test_building_twice_gives_the_same_bytes_and_the_second_time_does_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main([str(folder)]) == 0
    first, inode = files.tree(folder), folder.stat().st_ino
    assert demo.main([str(folder)]) == 0
    assert folder.stat().st_ino == inode
    assert "is up to date" in capsys.readouterr().out
    assert demo.main([str(folder), "--force"]) == 0
    assert folder.stat().st_ino != inode
    assert files.tree(folder) == first


def test_rows_are_sorted_by_id_and_have_the_columns_of_the_task(folder: Path) -> None:
    demo.build(folder)
    rows = [json.loads(line) for line in (folder / demo.ROWS).read_text(encoding="utf8").splitlines()]
    assert [set(row) for row in rows] == [{"id", "text", "label", "source"}] * (ROWS * len(SMALL))
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})


def test_edited_rows_are_kept_and_the_folder_is_no_longer_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.build(folder)
    assert demo.verified(folder) is True
    edited = (folder / demo.ROWS).read_text(encoding="utf8").replace('"peft"', '"pydantic"', 1)
    (folder / demo.ROWS).write_text(edited, encoding="utf8")
    assert demo.main([str(folder)]) == 0
    assert "was edited since it was built and is kept (labelled/rows.jsonl)" in capsys.readouterr().out
    assert (folder / demo.ROWS).read_text(encoding="utf8") == edited
    assert demo.verified(folder) is False


def test_a_file_that_is_gone_is_built_again(folder: Path) -> None:
    demo.build(folder)
    before = files.tree(folder)
    (folder / "corpus" / "peft.jsonl").unlink()
    assert demo.state(folder) == "stale"
    assert demo.main([str(folder)]) == 0
    assert files.tree(folder) == before


def test_another_library_version_is_built_warned_of_once_and_not_verified(
    folder: Path, shares: list[libraries.Share], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = libraries.Share("peft", "99.0", shares[0].rows, shares[0].corpus)
    monkeypatch.setattr(demo, "read_all", lambda: [other, shares[1]])
    monkeypatch.setattr(demo, "versions", lambda: {"peft": "99.0", "pydantic": shares[1].version})
    assert demo.main([str(folder)]) == 0
    assert capsys.readouterr().err.count("peft (99.0, not ") == 1
    assert files.read_json(folder / demo.MANIFEST)["verified"] is False
    assert demo.verified(folder) is False
    assert demo.main([str(folder)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "is up to date (unverified)" in said.out


def test_a_folder_of_someone_else_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"schema": 1, "mine": true}')
    assert demo.verified(folder) is None
    assert demo.main([str(folder)]) == ConfigError.exit_code
    assert "is no demo folder" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


def test_what_a_killed_build_left_is_removed_by_the_next(folder: Path) -> None:
    (folder.parent / ".demo.partial" / "corpus").mkdir(parents=True)
    (folder.parent / ".demo.partial" / "corpus" / "half.jsonl").write_text("{")
    demo.build(folder)
    assert not (folder / "corpus" / "half.jsonl").exists()


def test_a_place_that_cannot_be_written_is_exit_8(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert demo.main([str(tmp_path / "file" / "demo")]) == EnvironmentFault.exit_code
    assert "cannot be written" in capsys.readouterr().err


def test_the_demo_pipeline_reads_what_the_demo_writes(folder: Path) -> None:
    import yaml

    demo.build(folder)
    path = Path(__file__).parents[2] / "pipelines" / "demo.yaml"
    options = PipelineOptions.model_validate(yaml.safe_load(path.read_text(encoding="utf8")))
    for configured in (options.data.labelled, options.data.corpus):
        assert (folder / Path(configured).relative_to("data/demo")).is_dir()
