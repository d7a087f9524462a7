"""What a pipeline file may say of data, task and splits; importable without numpy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from regraft.core.plugin_options import Named
from regraft.core.strict import Strict
from regraft.data.task_types import TASK_TYPES

MADE_ID = "id made of the text"
"""Column of the ids that regraft makes where `task.id` is null; no file is likely to have one of that name."""
HUB = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})(?:/(?P<inside>.+))?")
"""A data set on the Hugging Face hub, pinned to a commit, or one file or folder of it."""


def listed(paths: str | Sequence[str]) -> list[str]:
    """One path or several, as the pipeline file has them."""
    return [paths] if isinstance(paths, str) else list(paths)


def _one_or_more(value: Any) -> Any:
    """A path, or a list without repeats; a list of one is its path, so that it has the same identity."""
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(path, str) and path.strip() for path in paths):
        raise ValueError("input should be a path, or a list of paths")
    if twice := sorted({path for path in paths if list(paths).count(path) > 1}):
        raise ValueError(f"{', '.join(twice)} stands there more than once")
    for path in paths:
        if path.startswith("hub:") and (not HUB.fullmatch(path) or ".." in path.split("/")):
            raise ValueError(
                "a hub data set is named with its commit, hub:<owner>/<name>@<40 hex digits>, or a file or folder of it, "
                "hub:<owner>/<name>@<40 hex digits>/data/train.parquet, because a branch or tag can change under a trained model"
            )
    return paths[0] if len(paths) == 1 else tuple(paths)


Paths = Annotated[str | tuple[str, ...], BeforeValidator(_one_or_more)]


def _local(text: str | None) -> str | None:
    if text is not None and text.startswith("hub:"):
        raise ValueError("general text is a file or folder of the workspace; fetch the data set and name where it lies")
    return text


LocalText = Annotated[str | None, AfterValidator(_local)]
"""A file or folder of general text in the workspace; None: the docstrings of Python's standard library."""


class DataOptions(Strict):
    """Where the text and the labels are; paths are relative to the workspace."""

    corpus: Paths | None = None
    """Domain text: a file or folder, `hub:<owner>/<name>@<revision>`, or a list of these. .txt, .csv, .tsv or .jsonl, each also
    as .gz, and .parquet. Left out, no candidate is adapted to one; read only where a candidate starts from `adapted`."""
    corpus_text: str | None = Field(None, min_length=1)
    """Column of the corpus that holds the text, where it is a table; by default that of the labelled rows, `task.text`."""
    labelled: Paths
    """Labelled rows: a file or folder, `hub:<owner>/<name>@<revision>`, or a list of these. .csv, .tsv or .jsonl, each also as
    .gz, and .parquet, with the columns that `task` names."""
    split: str | None = None
    """Column of the labelled rows that says train, dev or test; by default a row's split is a hash of its id."""
    tsv_quoted: bool = Field(False, exclude_if=lambda quoted: not quoted)
    """Whether values of .tsv files stand in quotes, as spreadsheets write them; by default a quote there is a character like another."""
    contract: str | None = None
    """The data contract; by default `pipelines/<name>.contract.yaml`."""


class TaskOptions(Strict):
    """What the model is for."""

    type: Annotated[str, Named(TASK_TYPES)] = "text-classification"
    """The kind of task."""
    text: str = "text"
    """Column that holds the text."""
    text_pair: str | None = Field(None, min_length=1, exclude_if=lambda column: column is None)
    """Column that holds a second text, where a row is a pair: premise and hypothesis, question and answer. Both are read together; a
    pair that is longer than `finetune.max_length` loses tokens of the longer text first."""
    label: str = "label"
    """Column that holds the label."""
    id: str | None = "id"
    """Column that holds a stable, unique id. A row's split is a hash of it. `null`: there is none, and ids are made of the texts; a text
    that is edited is then another row, which may come into another split."""
    normalise_labels: bool | None = Field(None, exclude_if=lambda normalise: normalise is None)
    """Whether labels that differ only by case, blanks or Unicode form are one class, in lower case. Left out, such labels are refused;
    `false`: they are classes of their own."""

    @model_validator(mode="after")
    def _each_column_has_one_use(self) -> Self:
        if self.text == self.label:
            raise ValueError(f"`text` and `label` are both the column {self.text!r}; name two columns")
        if self.text_pair is not None and self.text_pair in (self.text, self.label, self.id):
            raise ValueError(f"`text_pair` is {self.text_pair!r}, which `task` names already; it is a column of its own")
        return self

    @property
    def id_column(self) -> str:
        """The column of the ids, named in the pipeline file or made."""
        return self.id if self.id is not None else MADE_ID

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that a model reads, in the order in which it reads them."""
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)


class SplitOptions(Strict):
    """How rows are dealt out: a row's split is hash(seed, id), so growing data never moves a row."""

    test: float = Field(0.25, gt=0, lt=1)
    """Share of rows held out for the verdict."""
    dev: float = Field(0.1, gt=0, lt=1)
    """Share of rows that early stopping and model selection may see."""
    near_duplicate: float = Field(0.8, gt=0, le=1)
    """Jaccard similarity of 5-character shingles above which two texts count as near-duplicates."""
    by: str | None = Field(None, min_length=1, exclude_if=lambda column: column is None)
    """Column that orders the rows: dates, timestamps or numbers. The newest rows are test rows, those before them dev rows, and the
    past is trained on; when newer rows arrive, what tested before is trained on. By default a hash of the id decides."""

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.test + self.dev >= 1:
            raise ValueError(f"split.test ({self.test}) + split.dev ({self.dev}) leave no training rows; keep the sum below 1")
        return self


class GeneralText(Strict):
    """General text, as a part of a step's section. Python's own docstrings are no more identity than other library versions."""

    text: str | None
    """A file or folder; None: the docstrings of Python's standard library."""
    digest: str | None
    """Of its bytes."""
    column: str
    """Of tables, the column that holds the text."""


class TaskRows(Strict):
    """Labelled rows of a task other than the pipeline's own."""

    data: str = Field(min_length=1)
    """A file or folder, read like `data.labelled`; of equal rows one counts."""
    text: str = Field("text", min_length=1)
    """Column that holds the text."""
    label: str = Field("label", min_length=1)
    """Column that holds the label."""

    @field_validator("data")
    @classmethod
    def _is_local(cls, data: str) -> str:
        if data.startswith("hub:"):
            raise ValueError("rows of another task are a file or folder of the workspace; fetch the data set and name where it lies")
        return data

    @model_validator(mode="after")
    def _text_is_not_the_label(self) -> Self:
        if self.text == self.label:
            raise ValueError(f"`text` and `label` are both the column {self.text!r}")
        return self


class SideRows(TaskRows):
    """The rows of a task that a model learns besides its own, as a part of a step's section."""

    digest: str
    """Of their bytes."""


class EarlierTask(TaskRows):
    """Labelled rows of a task that the base model could be used for before it was trained here."""

    data: str = Field(min_length=1)
    """A file or folder, read like `data.labelled`. Of equal rows one counts; a hash of its text decides which half a row is in:
    the one that a probe learns from, or the one that it answers."""


class EarlierRows(EarlierTask):
    """The rows of one earlier task, as a part of a step's section."""

    digest: str
    """Of their bytes."""
