"""What is told of URLs."""

from __future__ import annotations

import pytest

from regraft.core.redacted import redacted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql://me:p@ss@db:5432/regraft?sslpassword=x", "postgresql://db:5432/regraft"),
        ("sqlite:////srv/store.db", "sqlite:////srv/store.db"),
        ("`git fetch https://token@host/r.git` failed: is it there?", "`git fetch https://host/r.git` failed: is it there?"),
        ("s3://bucket/a and s3://k:s@b/c?x=1 too", "s3://bucket/a and s3://b/c too"),
        ("nothing", "nothing"),
    ],
)
def test_neither_users_nor_passwords_nor_options_are_told(text: str, told: str) -> None:
    assert redacted(text) == told
