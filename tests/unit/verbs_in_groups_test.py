"""Every verb that a person types stands in a group of ``--help``, and every name of a group is a verb."""

from __future__ import annotations

from typer.main import get_command

from regraft.cli.app import GROUPS, with_verbs


def test_every_verb_has_its_group():
    shown = {name for name, command in get_command(with_verbs()).commands.items() if not command.hidden}
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(shown)
