"""``regraft renew-test``: worn test rows are trained on, rows that nobody has seen test, and what speaks against it is said."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest
import yaml
from tinyspace import sentence

from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.data.split import split_of
from regraft.registry.ledger import Ledger
from regraft.registry.stores.folder import Folder


def hand_in(workspace: Workspace, count: int, topic: str | None = None) -> None:
    """``count`` new rows of each topic, or of one."""
    import random

    rng = random.Random(11)
    rows = [
        {"id": f"july-{name}-{number}", "text": sentence(rng, name, 14), "label": name}
        for name in ("garden", "harbour", "kitchen")
        if topic in (None, name)
        for number in range(count)
    ]
    with (workspace.root / "data" / "rows.jsonl").open("a") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)


def step(cli, name: str) -> None:
    said = cli("step", name, "--pipeline", "tiny", "--step-version", "1")
    assert said.code == 0, said.out + said.err


def splits(workspace: Workspace) -> dict[str, str]:
    table = pq.read_table(workspace.artifacts("tiny", "splits") / "out" / "splits.parquet").to_pydict()
    return dict(zip(table["id"], table["split"], strict=True))


def test_fresh_rows_test_worn_ones_are_trained_on_and_nothing_else_moves(tiny, cli):
    step(cli, "contract")
    step(cli, "splits")
    before = splits(tiny)
    for name in ("contract", "splits"):
        shutil.rmtree(tiny.artifacts("tiny", name) / "evidence")
    worn = {key for key, split in before.items() if split == "test"}
    rows = "a" * 64
    files.write_json(tiny.artifacts("tiny", "held_out") / "out" / "digests.json", {"test": rows})
    for question in range(4):
        Ledger(Folder(tiny.state)).record(rows, question, pipeline="tiny", run="tiny-1")
    hand_in(tiny, 60)

    said = cli("renew-test", "tiny", "--json")
    assert said.code == 0, said.err
    assert (said.json["worn"] >= len(worn), said.json["decisions"]) == (True, 4)
    (renewed,) = files.read_json(tiny.root / "pipelines" / "tiny.spent.json")["rounds"]
    assert worn <= set(renewed["ids"])
    assert (renewed["rows"], renewed["decisions"]) == (rows, 4)

    assert cli("dvc").code == 0
    sections = yaml.safe_load((tiny.root / "pipelines" / "resolved" / "tiny.yaml").read_text())
    assert sections["splits"]["spent"] == "pipelines/tiny.spent.json"
    step(cli, "contract")
    step(cli, "splits")
    now = splits(tiny)
    testing = {key for key, split in now.items() if split == "test"}
    assert testing
    assert all(key.startswith("july-") and split_of(17, key, 0.25, 0.1) == "test" for key in testing)
    assert {now[key] for key in worn & now.keys()} == {"train"}
    assert all(now[key] == split for key, split in before.items() if split != "test" and key in now)
    assert len(testing) == sum(dict(said.json["fresh"]).values())


def test_without_enough_fresh_rows_of_every_class_nothing_is_written(tiny, cli):
    never = cli("renew-test", "tiny")
    assert (never.code, "tiny has no test rows yet" in never.err, "next: regraft run tiny" in never.err) == (2, True, True)
    step(cli, "contract")
    none = cli("renew-test", "tiny")
    assert none.code == 3
    assert "0 of 30 needed would test, none of 'garden', 'harbour', 'kitchen'; 25 % of new rows do" in none.err
    assert "next: label about 120 more rows, add them to data/rows.jsonl, then: regraft renew-test tiny" in none.err
    hand_in(tiny, 200, "garden")
    some = cli("renew-test", "tiny")
    assert "rows would test, none of 'harbour', 'kitchen'" in some.err
    assert not (tiny.root / "pipelines" / "tiny.spent.json").exists()


@pytest.mark.parametrize(("section", "keys", "says"), [
    ("data", {"split": "part"}, "the column 'part' says which rows test (data.split), so it renews them too"),
    ("split", {"by": "made"}, "the newest rows test (split.by: made), so newer rows renew them by themselves"),
])  # fmt: skip
def test_where_a_column_says_who_tests_it_renews_them(tiny, cli, section, keys, says):
    path = tiny.pipeline_file("tiny")
    pipeline = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**pipeline, section: {**pipeline.get(section, {}), **keys}}))
    said = cli("renew-test", "tiny")
    assert (said.code, says in said.err) == (2, True)


def test_plan_says_who_tests_before_the_borders_are_drawn_and_where_they_are_after(tiny, cli):
    path = tiny.pipeline_file("tiny")
    rows = [json.loads(row) | {"made": number * 37 % 120} for number, row in enumerate((tiny.root / "data/rows.jsonl").open())]
    files.write_text(tiny.root / "data" / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "split": {"by": "made"}}))
    assert "split by made: the newest rows test, the past is trained on" in cli("plan", "tiny").out
    cli("dvc")
    step(cli, "contract")
    assert cli("plan", "tiny", "--json").json["borders"] == {"column": "made", "dev_from": "78", "test_from": "90"}
    assert "split by made: test rows begin with 90, dev rows 78; newer rows move the borders" in cli("plan", "tiny").out


def test_a_list_that_somebody_broke_or_that_has_no_say_is_refused(tiny, cli):
    path = tiny.root / "pipelines" / "tiny.spent.json"
    path.write_text('{"rounds": [{"ids": []}]}')
    broken = cli("plan", "tiny")
    assert (broken.code, "next: git checkout pipelines/tiny.spent.json" in broken.err) == (2, True)
    pipeline = yaml.safe_load(tiny.pipeline_file("tiny").read_text())
    tiny.pipeline_file("tiny").write_text(yaml.safe_dump({**pipeline, "split": {"by": "id"}}))
    ordered = cli("plan", "tiny")
    assert (ordered.code, "lists rows that test no more, but split.by says which rows test" in ordered.err) == (2, True)


def test_without_a_list_every_section_is_what_it_was(tiny):
    sections = yaml.safe_load((tiny.root / "pipelines" / "resolved" / "tiny.yaml").read_text())
    assert not {"spent", "spent_digest", "by"} & (
        sections["contract"].keys() | sections["splits"].keys() | sections["splits"]["split"].keys()
    )
