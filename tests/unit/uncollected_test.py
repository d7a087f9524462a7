"""The collector waits for an import, and for nothing else."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys

import pytest

from regraft.core.uncollected import uncollected


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_while_a_module_is_imported_and_its_objects_are_left_alone_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "heavy", raising=False)
    with uncollected("heavy"), contextlib.suppress(ImportError):
        assert not gc.isenabled()
        importlib.import_module("heavy")
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_module_that_is_there_changes_nothing():
    frozen = gc.get_freeze_count()
    with uncollected("sys"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    with uncollected("not_imported"):
        pass
    assert not gc.isenabled()
