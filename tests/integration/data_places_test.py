"""Several paths and pinned hub data sets reach DVC and the record, and cost pipelines without them nothing."""

from __future__ import annotations

import os

import pyarrow.parquet as pq
import pytest
import yaml

from regraft.core import files
from regraft.execution import composition, dvc, step
from regraft.execution.dvc import PINNED, generated, out_of_step, render_dvc, write_generated
from regraft.execution.resolve import resolve, write_resolved

HUB = "hub:owner/name@0123456789abcdef0123456789abcdef01234567"


def pipeline(workspace, name, **data):
    former = yaml.safe_load(workspace.pipeline_file("tiny").read_text())
    files.write_text(workspace.pipeline_file(name), yaml.safe_dump({**former, "data": {**former["data"], **data}}, sort_keys=False))
    workspace.__dict__.pop("pipelines", None)


def stages(workspace):
    return yaml.safe_load(render_dvc(workspace))["stages"]


def test_one_path_in_a_list_is_that_path(tiny):
    before = (tiny.root / "dvc.yaml").read_text(), tiny.resolved_file("tiny").read_text()
    pipeline(tiny, "tiny", corpus=["data/corpus.jsonl"])
    write_resolved(tiny, "tiny")
    assert (render_dvc(tiny), tiny.resolved_file("tiny").read_text()) == before


def test_dvc_has_a_place_for_every_path_and_fills_it_up_with_the_first(tiny):
    (before,) = (resolve(tiny, "tiny"),)
    pipeline(tiny, "many", corpus=["data/corpus.jsonl", "data/b.txt", "data/c.txt"], labelled=["data/rows.jsonl", "data/x.csv"])
    corpus, contract = stages(tiny)["corpus"], stages(tiny)["contract"]
    assert corpus["do"]["deps"][1:] == ["${item.corpus}", "${item.corpus_2}", "${item.corpus_3}"]
    assert contract["do"]["deps"] == ["${item.labelled}", "${item.labelled_2}"]
    assert [corpus["foreach"]["many"][f"corpus{n}"] for n in ("", "_2", "_3")] == ["data/corpus.jsonl", "data/b.txt", "data/c.txt"]
    assert {corpus["foreach"]["tiny"][f"corpus{n}"] for n in ("", "_2", "_3")} == {"data/corpus.jsonl"}
    assert resolve(tiny, "tiny") == before


def test_a_pipeline_with_more_paths_makes_no_step_of_another_one_stale(tiny):
    target = "contract@tiny"
    dvc.ensure_repository(tiny)
    dvc.ask(tiny, "repro", "-q", "--single-item", target)
    pipeline(tiny, "many", labelled=["data/rows.jsonl", "data/corpus.jsonl"])
    write_generated(tiny)
    assert "labelled_2" in (tiny.root / "dvc.yaml").read_text()
    assert dvc.status(tiny, [target]) == {}
    files.write_text(tiny.root / "data" / "rows.jsonl", "{}\n")
    assert dvc.status(tiny, [target]) != {}


def test_hub_data_stands_in_dvc_yaml_as_a_file_that_never_changes(tiny):
    pipeline(tiny, "far", labelled=HUB, corpus=[HUB, "data/corpus.jsonl"])
    item = stages(tiny)["contract"]["foreach"]["far"]
    assert (item["labelled"], item["corpus"]) == (PINNED, "data/corpus.jsonl")
    assert PINNED in out_of_step(tiny)
    write_generated(tiny)
    write_resolved(tiny, "far")
    assert out_of_step(tiny) == []
    pipeline(tiny, "far")
    assert tiny.root / PINNED not in generated(tiny)


def test_a_corpus_may_call_its_text_otherwise_than_the_labelled_rows(tiny, cli):
    (tiny.root / "data" / "words.csv").write_text("nr,body\n1,some words about the domain\n2,and some more of these\n")
    files.write_text(tiny.root / "data" / "lines.jsonl", '{"body": "a document with another name for its text"}\n')
    pipeline(tiny, "tiny", corpus=["data/words.csv", "data/lines.jsonl"])
    refused = cli("run", "tiny")
    assert refused.code == 3, refused.err
    assert "data/words.csv" in refused.err, refused.err
    assert "that of a corpus in `data.corpus_text`" in refused.err
    pipeline(tiny, "tiny", corpus=["data/words.csv", "data/lines.jsonl"], corpus_text="body")
    write_resolved(tiny, "tiny")
    write_generated(tiny)
    dvc.ensure_repository(tiny)
    for name in ("contract", "corpus"):
        dvc.ask(tiny, "repro", "-q", "--single-item", f"{name}@tiny")
    made = pq.read_table(tiny.artifacts("tiny", "corpus") / "out" / "documents.parquet")["text"].to_pylist()
    assert {"a document with another name for its text", "and some more of these", "some words about the domain"} <= set(made)


@pytest.mark.parametrize(("data", "names"), [
    ({"labelled": "a", "corpus": "c"}, {"labelled": "a"}),
    ({"labelled": ["a", HUB], "corpus": "c"}, {"labelled.0": "a", "labelled.1": HUB}),
])  # fmt: skip
def test_inputs_of_several_paths_are_numbered(tiny, data, names):
    found = step.locate_inputs(composition.step_in(tiny, resolve(tiny, "tiny"), "contract"), tiny, "tiny", data)
    assert {name: item.source for name, item in found.items()} == names


def test_a_record_names_hub_data_by_its_commit_and_never_by_a_folder_of_this_machine(tiny, tmp_path, monkeypatch, cli):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot = tmp_path / "cache" / "datasets--owner--name" / "snapshots" / HUB.partition("@")[2]
    snapshot.mkdir(parents=True)
    os.rename(tiny.root / "data" / "rows.jsonl", snapshot / "rows.jsonl")
    pipeline(tiny, "tiny", labelled=HUB)
    write_resolved(tiny, "tiny")
    said = cli("step", "contract", "--pipeline", "tiny", "--step-version", "1")
    assert said.code == 0, said
    record = files.read_json(tiny.artifacts("tiny", "contract") / "record.json")
    assert record["inputs"] == {"labelled": {"path": HUB, "hash": files.sha256_text(HUB)}}
    assert str(tmp_path / "cache") not in (tiny.artifacts("tiny", "contract") / "record.json").read_text()
    assert record["metrics"]["accepted"] == 120
