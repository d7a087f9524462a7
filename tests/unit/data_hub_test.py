"""A data set on the hub is its commit: from the cache without a network, and never half of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from regraft.config.pipeline import PipelineOptions
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.data import hub
from regraft.data.sources import Source, list_files

REVISION = "0123456789abcdef0123456789abcdef01234567"
SPEC = f"hub:owner/name@{REVISION}"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "datasets--owner--name" / "snapshots" / REVISION


def fill(snapshot: Path, *names: str) -> None:
    for name in names:
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_text("id,text,label\n1,x,a\n")


def test_the_whole_data_set_a_folder_or_a_file_of_it(snapshot):
    fill(snapshot, "README.md", "load.py", "data/train.csv", "data/test.csv", "x.jsonl")
    assert hub.fetch(SPEC) == snapshot
    assert hub.fetch(f"{SPEC}/data") == snapshot / "data"
    assert hub.fetch(f"{SPEC}/data/train.csv") == snapshot / "data" / "train.csv"
    found = list_files(Source("data.labelled", hub.fetch(SPEC), SPEC), (".csv", ".jsonl"))
    assert [shown.removeprefix(SPEC) for _, shown in found] == ["/data/test.csv", "/data/train.csv", "/x.jsonl"]


@pytest.mark.parametrize(("held", "inside"), [
    ((), ""), (("README.md",), ""), (("data/train.csv",), "/data/test.csv"), (("data/train.csv",), "/other"),
    (("train-00000-of-00003.parquet", "train-00002-of-00003.parquet"), ""),
])  # fmt: skip
def test_what_is_not_whole_in_the_cache_is_exit_8_offline_with_the_command_that_fetches_it(snapshot, held, inside):
    fill(snapshot, *held)
    with pytest.raises(EnvironmentFault) as caught:
        hub.fetch(SPEC + inside)
    assert caught.value.exit_code == 8
    assert f"hf download --repo-type dataset owner/name --revision {REVISION}" in str(caught.value.fix)


def test_a_shard_that_is_missing_is_named(snapshot):
    fill(snapshot, "data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet")
    with pytest.raises(EnvironmentFault, match=r"train-00001-of-00003\.parquet is not there"):
        hub.fetch(f"{SPEC}/data")


def test_a_name_that_the_hub_cannot_have_is_exit_2(snapshot):
    with pytest.raises(ConfigError, match="no such data set"):
        hub.fetch(f"hub:owner/a--b@{REVISION}")


@pytest.mark.parametrize(
    "spec", ["hub:owner/name", "hub:owner/name@main", f"hub:name@{REVISION}", f"{SPEC}/../x", f"hub:a/b@{REVISION[:7]}"]
)
def test_only_a_commit_names_a_data_set(spec):
    with pytest.raises(ValueError, match="named with its commit"):
        PipelineOptions.model_validate({"version": 1, "base_model": "m", "data": {"corpus": "c", "labelled": ["l", spec]}})


def test_a_file_that_the_data_set_does_not_hold_is_exit_2_once_its_list_is_known(snapshot):
    from huggingface_hub._tree_cache import TreeCacheEntry, write_tree_cache

    fill(snapshot, "data/train.csv")
    names = ("README.md", "data/train.csv", "data/test.csv")
    write_tree_cache(str(snapshot.parents[1]), REVISION, {name: TreeCacheEntry(size=1, blob_id="0" * 40) for name in names})
    with pytest.raises(ConfigError, match=r"the data set holds no other; it has README\.md, data/test\.csv, data/train\.csv"):
        hub.fetch(f"{SPEC}/other")
    with pytest.raises(EnvironmentFault, match="not whole"):  # train is there, test was never fetched
        hub.fetch(SPEC)
    assert hub.fetch(f"{SPEC}/data/train.csv").is_file()
