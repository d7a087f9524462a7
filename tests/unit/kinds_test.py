"""A model folder says its kind, and a kind is one file; one of another package is found by its entry point."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from workbench import example_of

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.registry import Registry
from regraft.models import kinds

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that brings the kind ``counter``, as pip would have installed it."""
    site = tmp_path / "site-packages"
    info = site / "their_kind-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "their_kind.py").write_text(example_of("kind", "python"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kind\nVersion: 1.0\n")
    group, entry = example_of("kind", "toml").strip().replace('"', "").splitlines()
    (info / "entry_points.txt").write_text(f"{group.replace('project.entry-points.', '')}\n{entry}\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(kinds, "KINDS", Registry("regraft.kinds", "kind of model", kinds.KINDS.ours))
    return info


def counter(folder: Path, temperature: float = 1.0) -> Path:
    kinds.describe(folder, "text", kind="counter")
    files.write_json(folder / "labels.json", ["cat", "dog"])
    files.write_json(folder / "words.json", ["meow", "woof"])
    files.write_json(folder / "calibration.json", {"schema": 1, "temperature": temperature, "abstain": {"below": 0.6}})
    return folder


def test_a_folder_of_0_2_is_a_sequence_classification_and_its_bytes_stay_the_same(tmp_path):
    kinds.describe(tmp_path, "text", max_length=128)
    assert files.read_json(tmp_path / "serving.json") == {"schema": 1, "text_column": "text", "max_length": 128}
    assert kinds.kind_of(tmp_path) == "sequence_classification"


def test_a_kind_that_another_package_brings_answers_like_ours(tmp_path, installed):
    model = kinds.load(counter(tmp_path, temperature=0.5))
    p = model.predict(["meow meow", "woof", "a"])
    assert [model.labels[i] for i in p.argmax(axis=1)] == ["cat", "dog", "cat"]
    np.testing.assert_allclose(p[1], np.exp([0, 2]) / np.exp([0, 2]).sum(), rtol=1e-6)
    assert model.abstains(p).tolist() == [False, False, True]
    assert kinds.file_of("counter").name == "their_kind.py"


def test_a_kind_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(EnvironmentFault, match="is of the kind 'counter', which is not installed here; known: sequence_classification"):
        kinds.load(counter(tmp_path))


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"])
def test_a_folder_that_does_not_say_what_it_is_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "serving.json").write_bytes(content)
    with pytest.raises(EnvironmentFault, match=r"serving\.json does not say what it is"):
        kinds.kind_of(tmp_path)


def test_a_package_that_takes_a_name_of_ours_is_refused_by_name(installed):
    (installed / "entry_points.txt").write_text("[regraft.kinds]\nsequence_classification = their_kind\n")
    with pytest.raises(ConfigError, match="their-kind brings a kind of model 'sequence_classification', which is a name of regraft"):
        kinds.KINDS["sequence_classification"]


def test_a_kind_that_does_not_import_says_why(installed):
    (installed / "entry_points.txt").write_text("[regraft.kinds]\ncounter = their_kin\n")
    with pytest.raises(EnvironmentFault, match=r"kind of model 'counter' \(their_kin\) cannot be imported: No module named 'their_kin'"):
        kinds.KINDS["counter"]


def test_an_unknown_member_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no kind of model 'sequence_clasification'; did you mean 'sequence_classification'\?"):
        kinds.KINDS["sequence_clasification"]


@pytest.mark.parametrize(
    "path", [kinds.file_of(name) for name in kinds.KINDS] + [ROOT / "src/regraft/models/served.py"], ids=lambda p: p.stem
)
def test_what_travels_with_a_model_imports_nothing_of_regraft_and_nothing_heavy_at_its_top(path):
    tree = ast.parse(path.read_text(encoding="utf8"))
    everywhere = {name for node in ast.walk(tree) for name in imported(node)}
    at_top = {name for node in tree.body for name in imported(node)}
    assert "regraft" not in everywhere
    assert at_top <= set(sys.stdlib_module_names) | {"numpy"}


def imported(node: ast.AST) -> list[str]:
    """Top-level packages that a statement imports; a relative import is one of regraft."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["regraft" if node.level else (node.module or "").partition(".")[0]]
    return []
