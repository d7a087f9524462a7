"""Files appear whole or not at all, and are named by their bytes."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from regraft.core import files


def test_a_writer_that_dies_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"a": 2})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_value_that_json_cannot_hold_never_touches_the_file(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == 1


def test_readers_see_the_old_bytes_or_the_new_ones(tmp_path):
    path = tmp_path / "x"
    sizes = [100_000, 200_000]
    files.write_bytes(path, b"0" * sizes[0])
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(len(path.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        files.write_bytes(path, b"0" * sizes[n % 2])
    done.set()
    reader.join()
    assert seen <= set(sizes)


def test_other_users_may_read_what_was_written(tmp_path):
    files.write_text(tmp_path / "deep" / "x", "é")
    assert (tmp_path / "deep" / "x").read_bytes() == "é".encode()
    assert stat.S_IMODE((tmp_path / "deep" / "x").stat().st_mode) == 0o644


def test_canonical_text_does_not_depend_on_the_order_of_keys():
    assert files.canonical({"b": [1, 2.5], "a": "é"}) == files.canonical({"a": "é", "b": [1, 2.5]}) == '{"a":"é","b":[1,2.5]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, Path("x"), object()])
def test_what_has_no_canonical_text_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        files.canonical({"x": value})


def folder(root: Path, **contents: str) -> Path:
    for name, text in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_digest_of_a_folder_sees_names_and_bytes_but_not_where_it_lies_or_when_it_was_written(tmp_path):
    first = folder(tmp_path / "one", a="1", b__c="2")
    second = folder(tmp_path / "two", b__c="2", a="1")
    os.utime(second / "a", (0, 0))
    assert files.digest(first) == files.digest(second)
    assert files.digest(first) == files.digest_of(files.tree(first))
    assert files.digest(folder(tmp_path / "three", a="1", b__d="2")) != files.digest(first)
    assert files.digest(folder(tmp_path / "four", a="2", b__c="1")) != files.digest(first)


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # FIPS 180-4, the example with the message "abc".
    assert files.digest(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_tree_is_in_the_order_of_its_posix_paths(tmp_path):
    assert list(files.tree(folder(tmp_path, b="", a__z="", **{"a-b": ""}))) == ["a-b", "a/z", "b"]
