"""What labelled rows have to look like, as it stands in the resolved file: a changed rule reruns the steps, a changed description nothing.

:mod:`regraft.data.contract_file` reads it from the file that people write. Importable without pandas or Great Expectations: the command
line reads contracts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr

from regraft.core.errors import ConfigError
from regraft.core.strict import Strict
from regraft.core.suggest import guess
from regraft.data.options import TaskOptions
from regraft.data.pairs import MARK
from regraft.data.spelling import canonical
from regraft.data.split import SPLITS

Name = Annotated[StrictStr, Field(min_length=1)]
Severity = Literal["block", "quarantine", "warn"]
"""What becomes of a drop in which a row breaks a rule: it is refused whole, it loses the row, or it is said."""


class Column(Strict):
    """The rules of one column. Values are strings; a missing value breaks `required` alone."""

    name: Name
    required: bool = False
    unique: bool = False
    min_length: int | None = None
    """In characters (Unicode code points)."""
    max_length: int | None = None
    pattern: str | None = None
    """A regular expression that is searched for, so anchor it with ^ and $."""
    valid_values: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = Field(None, exclude_if=lambda codes: codes is None)
    """Languages that a text may clearly be in. Left out where any may."""
    min_tokens: int | None = Field(None, exclude_if=lambda least: least is None)
    """In tokens of the base model, those included that frame a text. Left out where nobody asks."""
    max_tokens: int | None = Field(None, exclude_if=lambda most: most is None)
    without: str | None = Field(None, exclude_if=lambda mark: mark is None)
    """What must not stand in a text, because regraft writes it between two."""
    severities: dict[str, Severity] | None = Field(None, exclude_if=lambda severities: severities is None)
    """Of rules that do something else than set a row aside. Left out where none does."""

    def severity(self, rule: str) -> Severity:
        """What becomes of a row that breaks ``rule``, such as ``max_length``."""
        return (self.severities or {}).get(rule, "quarantine")

    def enforced(self) -> Column:
        """This, where training needs a value that stands once: a breach cannot be only said."""
        kept = {rule: how for rule, how in (self.severities or {}).items() if how != "warn" or rule not in ("required", "unique")}
        return self.model_copy(update={"severities": kept or None})


class Contract(Strict):
    """What labelled data has to look like. Columns it does not name are allowed and unchecked."""

    id: str
    version: str
    columns: tuple[Column, ...]

    @property
    def counts_tokens(self) -> bool:
        """Whether a rule needs the tokenizer of the base model."""
        return any(column.min_tokens is not None or column.max_tokens is not None for column in self.columns)

    def column(self, name: str) -> Column:
        """The rules of ``name``."""
        return next(column for column in self.columns if column.name == name)

    def for_task(self, task: TaskOptions) -> Contract:
        """This contract with what training needs whatever it says: id, texts and label present, ids unique.

        Raises :class:`ConfigError` if it has no such column.
        """
        names = [column.name for column in self.columns]
        pair = (("text_pair", task.text_pair),) if task.text_pair is not None else ()
        ids = (("id", task.id),) if task.id is not None else ()
        used = (*ids, ("text", task.text), *pair, ("label", task.label))
        for key, name in used:
            if name not in names:
                free = [other for other in names if other not in dict(used).values()]
                probably, existing = guess(name, free, otherwise="."), ", ".join(names)
                message = f"task.{key} is {name!r}, which the contract {self.id!r} does not describe{probably} It has {existing}"
                fix = f"call the column in the contract as the data does (- {{name: {name}}}), or correct task.{key} in the pipeline file"
                raise ConfigError(message, fix=fix)
        text: dict[str, Any] = {"required": True, **({"without": MARK} if pair else {})}
        label: dict[str, Any] = {"required": True}
        if task.normalise_labels and (named := self.column(task.label).valid_values):
            label["valid_values"] = tuple(sorted({canonical(name) for name in named}))
        forced = {**{name: {"required": True, "unique": True} for _, name in ids}, **dict.fromkeys(task.texts, text), task.label: label}
        columns = tuple(
            column.model_copy(update=forced[column.name]).enforced() if column.name in forced else column for column in self.columns
        )
        return self.model_copy(update={"columns": columns})

    def with_split(self, name: str | None) -> Contract:
        """This contract with ``name`` as the column that says train, dev or test; None: splits are not given."""
        if name is None:
            return self
        others = tuple(column for column in self.columns if column.name != name)
        return self.model_copy(update={"columns": (*others, Column(name=name, required=True, valid_values=SPLITS))})

    def with_order(self, name: str | None) -> Contract:
        """This contract with ``name`` as a column that every row has, because it orders them; None: none does."""
        if name is None:
            return self
        known = next((column for column in self.columns if column.name == name), Column(name=name))
        others = tuple(column for column in self.columns if column.name != name)
        return self.model_copy(update={"columns": (*others, known.model_copy(update={"required": True}))})


def default_contract(task: TaskOptions) -> dict[str, Any]:
    """What holds without a contract file: id, text and label are there and no id stands twice."""
    ids = (Column(name=task.id, required=True, unique=True),) if task.id is not None else ()
    columns = (*ids, *(Column(name=name, required=True) for name in (*task.texts, task.label)))
    return Contract(id="default", version="1", columns=columns).model_dump(mode="json", exclude_none=True)


def unwritten(task: TaskOptions, split: str | None, by: str | None = None) -> Contract:
    """What labelled data has to look like where nobody wrote a contract; ``split`` says train, dev or test, ``by`` orders the rows."""
    return Contract.model_validate(default_contract(task)).for_task(task).with_split(split).with_order(by)
