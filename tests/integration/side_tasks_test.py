"""Methods that learn other tasks as well, `multi_task` and `meta`: what they leave, how exactly they go on, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stopping import stopped_at
from tinyspace import tiny_table

from regraft.core import cores, files
from regraft.core.errors import ConfigError, DataRejected, Interrupted
from regraft.core.progress import STOP, Running, running
from regraft.data.options import SideRows
from regraft.data.side_tasks import read_side_task
from regraft.execution.resolve import resolve
from regraft.models import kinds
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options
from regraft.training.rows import Rows
from regraft.training.side_tasks import Turns

LABELS = ["garden", "harbour", "kitchen"]
TASKS = {"length": {"data": "length.jsonl"}, "kitchen": {"data": "kitchen.jsonl"}}
METHODS = {"multi_task": {"temperature": 1.0}, "meta": {"episodes": 4, "inner_steps": 3}}


@pytest.fixture(scope="module")
def rows():
    return tiny_table("dev", "train", "train", "train")


def sides(rows):
    """Two tasks on texts of the training rows, one of which has three times as many."""
    training = rows[rows["split"] == "train"]
    every = list(zip(training["text"], training["label"], strict=True))
    return {
        "length": [(text, "long" if len(text) > 60 else "short") for text, _ in every],
        "kitchen": [(text, "yes" if label == "kitchen" else "no") for text, label in every[::3]],
    }


def train(base, rows, out, method, checkpoints=None, others=None, **own):
    with running(Running(pipeline="tiny", checkpoints=checkpoints, report=True)):
        shared = {"batch_size": 16, "max_length": 16, "epochs": 2, "learning_rate": 3e-3}
        options = finetune_options(shared, {"method": method, "tasks": TASKS, **METHODS.get(method, {}), **own})
        given = {"name": "finetune", "text_column": "text", "seed": 17, "out": out, "tasks": sides(rows) if others is None else others}
        return finetune(base, rows, LABELS, options, **given)


@pytest.mark.parametrize("method", METHODS)
def test_cut_twice_and_with_another_number_of_cores_it_leaves_the_same_plain_folder(method, base, rows, tmp_path, monkeypatch):
    whole = train(base, rows, tmp_path / "whole", method)
    assert whole["side_rows"] == 120
    from safetensors.numpy import load_file

    assert not [name for name in load_file(tmp_path / "whole" / "model.safetensors") if "side" in name or "meta" in name]
    assert list(kinds.load(tmp_path / "whole").labels) == LABELS
    monkeypatch.setattr(cores, "cores", lambda: 1)
    with stopped_at(3, 14, training="finetune"):
        for _ in range(2):
            with pytest.raises(Interrupted):
                train(base, rows, tmp_path / "cut", method, checkpoints=tmp_path / "checkpoints")
            STOP.clear()
        assert train(base, rows, tmp_path / "cut", method, checkpoints=tmp_path / "checkpoints") == whole
    assert files.tree(tmp_path / "cut") == files.tree(tmp_path / "whole")


@pytest.mark.parametrize("method", METHODS)
def test_other_tasks_change_the_encoder_and_their_labels_matter(method, base, rows, tmp_path):
    others = sides(rows)
    all_long = {**others, "length": [(text, "long" if n else "short") for n, (text, _) in enumerate(others["length"])]}
    for name, given in (("one", others), ("two", all_long)):
        train(base, rows, tmp_path / name, method, others=given)
    assert files.digest(tmp_path / "one") != files.digest(tmp_path / "two")


def test_tasks_take_turns_in_proportion_and_the_own_rows_are_read_once_an_epoch():
    def of(count):
        return Rows([np.zeros(4, np.int64)] * count, np.zeros(count, np.int64), 10, 0, 1, [str(n) for n in range(count)])

    for temperature, expected in ((1.0, [10, 40, 1]), (2.0, [10, 20, 2]), (100.0, [10, 10, 10])):
        turns = Turns([of(100), of(400), of(4)], temperature, 17)
        taken = [turns.turn(step) for step in range(2 * turns.steps)]
        assert turns.of_epoch == expected
        for task, steps in enumerate(expected):
            assert [own for which, own in taken if which == task] == list(range(2 * steps)), "in order, none twice"
        assert [which for which, _ in taken[: turns.steps]] != [which for which, _ in taken[turns.steps :]], "another order each epoch"


def test_a_row_of_another_task_that_tests_this_one_is_left_out_and_told(base, rows, tmp_path, capsys):
    held_out = rows[rows["split"] == "dev"]["text"].tolist()[:2]
    others = {"length": [*sides(rows)["length"], (held_out[0].upper(), "long"), (f" {held_out[1]} ", "short")]}
    assert train(base, rows, tmp_path / "model", "multi_task", others=others, epochs=1)["side_rows"] == 90
    assert "2 rows of the task length have the text of a dev or test row and are left out" in capsys.readouterr().out
    with pytest.raises(DataRejected, match="of the task length no two classes are left to learn"):
        train(base, rows, tmp_path / "none", "multi_task", others={"length": [(held_out[0], "a"), ("another text", "b")]})
    with pytest.raises(ConfigError, match="hands on no rows of other tasks"):
        train(base, rows, tmp_path / "older", "multi_task", others={})


PIPELINE = """
candidates:
  both: {start: base, finetune: {method: multi_task, tasks: {length: {data: data/length.jsonl, text: body}}}}
"""


def test_the_plan_knows_the_rows_by_their_digest_and_names_the_line_of_a_file_that_is_not_there(tiny, cli):
    side = tiny.root / "data/length.jsonl"
    side.write_text("".join(json.dumps({"body": f"text {n}", "label": "ab"[n % 2]}) + "\n" for n in range(20)))
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + PIPELINE)
    section = resolve(tiny, "tiny")["finetune-both"]
    assert section["side_tasks"] == {
        "length": {"data": "data/length.jsonl", "text": "body", "label": "label", "digest": files.digest(side)}
    }
    side.rename(tiny.root / "data/lenght.jsonl")
    said = cli("plan", "tiny")
    assert said.code == 2
    assert "candidates.both.finetune.tasks.length.data: data/length.jsonl is not there; did you mean data/lenght.jsonl?" in said.err


@pytest.mark.parametrize(("own", "words"), [
    ("{method: multi_task}", "finetune.tasks: "),
    ("{method: multi_task, tasks: {}}", "finetune.tasks: "),
    ("{method: multi_task, tasks: {a: {data: 'hub:o/n@x'}}}", "rows of another task are a file or folder of the workspace"),
    ("{method: multi_task, tasks: {a: {data: data, text: label}}}", "`text` and `label` are both the column 'label'"),
    ("{method: multi_task, tasks: {a: {data: data}}, temperature: 0.5}", "finetune.temperature: "),
    ("{method: full, tasks: {a: {data: data}}}", "take the key out, or change candidates.both.finetune.method"),
])  # fmt: skip
def test_what_cannot_be_learned_is_said_at_plan(tiny, cli, own, words):
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + f"candidates:\n  both: {{start: base, finetune: {own}}}\n")
    said = cli("plan", "tiny")
    assert (said.code, words in said.err) == (2, True), said


def test_a_file_of_one_class_or_with_faults_is_refused_with_its_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("text,label\na text,x\nanother,x\n")
    (tmp_path / "bad.csv").write_text("text,label\na text,\nanother,y\n")
    for name, words in (("one", "every row is of the class 'x'"), ("bad", "label is missing")):
        given = SideRows(data=f"{name}.csv", digest=files.digest(tmp_path / f"{name}.csv"))
        with pytest.raises(DataRejected, match=words):
            read_side_task(name, given)
