"""Plug-ins by name: the product's own are imported when asked for, installed packages add to them and replace none."""

from __future__ import annotations

import sys

import pytest

from regraft.core import plugins
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.plugins import Registry

OWN = {"plain": "regraft.core.suggest:nearest", "heavy": "no.such.module:THING"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package that offers these entry points: ``installed("my-package", "regraft.toys", bell="my_package:BELL")``."""

    def install(package, group, source="BELL = 'ding'\n", **entries):
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        about = tmp_path / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items()))
        plugins._offered.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    plugins._offered.cache_clear()
    yield install
    plugins._offered.cache_clear()
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_names_are_known_without_an_import_and_a_plug_in_is_imported_when_it_is_asked_for():
    toys = Registry[object]("toy", "regraft.toys", OWN)
    assert toys.names == ("plain", "heavy")
    assert "heavy" in toys
    assert toys["plain"].__name__ == "nearest"
    with pytest.raises(ModuleNotFoundError):
        toys["heavy"]


def test_a_wrong_name_is_told_what_was_probably_meant():
    with pytest.raises(ConfigError, match="no toy 'plian'; did you mean 'plain'\\? Known: heavy, plain"):
        Registry[object]("toy", "regraft.toys", OWN)["plian"]


def test_an_installed_package_adds_its_own(installed):
    installed("toy-bells", "regraft.toys", bell="toy_bells:BELL")
    toys = Registry[str]("toy", "regraft.toys", {"plain": OWN["plain"]})
    assert toys.names == ("plain", "bell")
    assert toys["bell"] == "ding"
    assert list(toys)[1] == "ding"


def test_a_package_that_cannot_be_imported_is_named_where_its_plug_in_is_needed(installed):
    installed("toy-bells", "regraft.toys", "raise RuntimeError('no clapper')\n", bell="toy_bells:BELL")
    toys = Registry[str]("toy", "regraft.toys", OWN)
    assert "bell" in toys.names
    with pytest.raises(EnvironmentFault, match=r"'bell' of the package toy-bells cannot be imported .*no clapper") as refused:
        toys["bell"]
    assert refused.value.fix == "pip install --upgrade toy-bells"


@pytest.mark.parametrize("taken", ["plain", "bell"])
def test_a_name_that_is_taken_is_refused_whoever_has_it(installed, taken):
    installed("toy-bells", "regraft.toys", bell="toy_bells:BELL")
    installed("toy-thief", "regraft.toys", **{taken: "toy_thief:BELL"})
    with pytest.raises(EnvironmentFault, match=f"'{taken}', a name that (regraft itself|toy-bells|toy-thief) has already"):
        _ = Registry[str]("toy", "regraft.toys", OWN).names
