"""One tokenizer a model: whatever its files say, training, serving and a consumer get the same ids, or `plan` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizer_variants import SAME, TEXTS, VARIANTS, make

from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.evaluation import token_ids
from regraft.models import base_model, kinds, tokenizer
from regraft.models.kinds.sequence_classification import encode, padded
from regraft.production import token_check

LENGTH = 12
"""Tokens, so that some texts are cut."""
MERE_WORDS = {"bert: special tokens that are mere words": "[MASK]", "bert: a mere word among special tokens": "tensor"}
"""Variant -> a word that transformers takes out of a text as special, and ``tokenizer.json`` alone does not."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "config.json"}


@pytest.mark.parametrize("name", [name for name, (_, _, expected) in VARIANTS.items() if expected == SAME])
def test_training_serving_and_a_consumer_get_the_ids_of_tokenizer_json(name, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    folder, saved = make(name, tmp_path / "base"), tmp_path / "model"
    saved.mkdir()
    (saved / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert list(base_model.tokenizer_files.conflicts(folder)) == []
    trained = tokenizer.load(folder)
    tokenizer.save(folder, saved)
    consumer = AutoTokenizer.from_pretrained(saved, local_files_only=True)
    ids = encode(trained, TEXTS, LENGTH)
    assert consumer(list(TEXTS), truncation=True, max_length=LENGTH)["input_ids"] == ids
    assert (
        consumer(list(TEXTS[:2]), padding=True, truncation=True, max_length=LENGTH)["input_ids"]
        == padded(trained, ids[:2])["input_ids"].tolist()
    )
    assert "attention_mask" in consumer("a text")
    if (folder / "tokenizer.json").is_file():
        alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
        alone.encode_special_tokens = trained.split_special_tokens
        alone.no_padding()
        alone.enable_truncation(LENGTH, direction=trained.truncation_side)
        plain = [text for text in TEXTS if name not in MERE_WORDS or MERE_WORDS[name] not in text]
        assert encode(trained, plain, LENGTH) == [encoding.ids for encoding in alone.encode_batch(plain)]


@pytest.mark.parametrize("name", [name for name, (_, _, expected) in VARIANTS.items() if expected != SAME])
def test_what_says_the_opposite_is_refused_by_its_key(name, tmp_path):
    key = VARIANTS[name][2]
    (problem,) = base_model.tokenizer_files.conflicts(make(name, tmp_path / "base"))
    assert key in problem["message"]
    assert problem["fix"]


@pytest.mark.parametrize("name", ["bert", "bert: cased in both", "bert: vocab.txt alone", "roberta", "bert: truncation_side left"])
def test_files_that_agree_are_copied_byte_for_byte(name, tmp_path):
    folder, saved = make(name, tmp_path / "base"), tmp_path / "model"
    saved.mkdir()
    tokenizer.save(folder, saved)
    assert contents(saved) == contents(folder)


def test_what_was_brought_in_line_stays_so(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    folder = make("bert: a folding normalizer of its own", tmp_path / "base")
    for source, out in ((folder, first), (first, second)):
        out.mkdir()
        (out / "config.json").write_bytes((folder / "config.json").read_bytes())
        tokenizer.save(source, out)
    assert contents(first) == contents(second) != contents(folder)


def test_ids_beyond_the_embeddings_are_refused_with_both_numbers(tmp_path):
    folder = make("bert: a word added to tokenizer.json", tmp_path / "base")
    size = len(tokenizer.load(folder))
    (folder / "config.json").write_text(f'{{"model_type": "bert", "vocab_size": {size - 1}}}')
    (problem,) = base_model.tokenizer_files.conflicts(folder)
    assert f"gives 'naïve' the id {size - 1}, and the model has embeddings for the ids up to {size - 2}" in problem["message"]


def test_a_tokenizer_with_half_as_many_words_as_its_model_is_another_models(tmp_path):
    folder = make("bert: a word added to tokenizer.json", tmp_path / "base")
    size = len(tokenizer.load(folder))
    for rows, refused in ((2 * size, 0), (2 * size + 1, 1)):
        (folder / "config.json").write_text(f'{{"model_type": "bert", "vocab_size": {rows}}}')
        problems = list(base_model.tokenizer_files.conflicts(folder))
        assert len(problems) == refused
    assert f"it has {size} tokens, and the model embeds {rows} (vocab_size in config.json)" in problems[0]["message"]


def pieces(folder: Path, kind: str, rows: int, file: str = "sentencepiece.bpe.model") -> Path:
    """A model folder whose only tokenizer is a SentencePiece file of 60 pieces."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(f'{{"model_type": "{kind}", "vocab_size": {rows}}}')
    with (folder / file).open("wb") as out:
        SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 50), model_writer=out, vocab_size=60, hard_vocab_limit=False, minloglevel=2
        )
    return folder


def test_a_tokenizer_is_made_of_a_sentencepiece_file_and_gives_its_pieces(tmp_path):
    folder = pieces(tmp_path / "base", "xlm-roberta", 80)
    assert list(base_model.tokenizer_files.conflicts(folder)) == []
    processor = SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    made = tokenizer.load(folder)
    for text in (text for text in TEXTS if "<" not in text):
        assert made.tokenize(text) == processor.encode(text, out_type=str)


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda folder: (folder / "sentencepiece.bpe.model").write_bytes(b"\n\x0e\n\x05<unk>"), "SentencePiece cannot read it"),
        (lambda folder: pieces(folder, "xlm-roberta", 10), "the model has embeddings for the ids up to 9"),
        (lambda folder: pieces(folder, "bert", 80), "a bert model reads it"),
        (lambda folder: pieces(folder, "albert", 80), "it has no [CLS] and no [SEP], which albert puts round every text"),
        (lambda folder: (folder / "vocab.txt").write_text("a\n" * 90), "gives 'a' the id 89"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": 99}'), "missing beside vocab.json"),
    ],
    ids=["broken", "too many pieces", "of another kind", "without its frame", "too many words", "no merges"],
)
def test_older_files_that_make_no_tokenizer_are_refused_before_anything_runs(break_it, why, tmp_path):
    folder = pieces(tmp_path / "base", "xlm-roberta", 80)
    break_it(folder)
    first = next(base_model.tokenizer_files.conflicts(folder))
    assert why in first["message"]
    assert first["fix"]


def test_a_tokenizer_without_words_is_refused_when_it_is_made(tmp_path):
    folder = pieces(tmp_path / "base", "bert", 80)
    with pytest.raises(ConfigError, match="all of them special, so every word would be unknown"):
        tokenizer.load(folder)


def test_a_tokenizer_of_a_package_is_mended_in_a_copy(tmp_path):
    folder = make("bert: do_lower_case off, normalizer lowers", tmp_path / "base")
    (problem,) = base_model.tokenizer_files.conflicts(folder)
    fix = base_model._copied_first(problem, "package:some_model", folder)["fix"]
    assert fix.startswith(f"cp -rL {folder} models/base, write base_model: models/base, and in models/base/tokenizer_config.json, write")


def test_a_folder_that_cannot_be_brought_in_line_is_refused_when_it_is_read(tmp_path):
    folder = make("bert: vocab.txt alone", tmp_path / "base")
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer\.json: it holds no vocabulary"):
        base_model.check(str(folder), folder)


def as_0_2_saved_it(name: str, folder: Path) -> Path:
    """The files of a variant as they were, under a model that serves 12 tokens."""
    kinds.describe(make(name, folder), "text", max_length=LENGTH)
    return folder


def test_the_first_row_that_is_read_otherwise_is_named(tmp_path):
    folder = as_0_2_saved_it("bert: cased normalizer, config silent", tmp_path / "model")
    problem = token_ids.compared(folder, ["all small", *TEXTS])["problem"]
    assert problem.startswith("row 2: from token 2 on, transformers 5.")


@pytest.mark.parametrize("name", ["bert", "bert: split_special_tokens"])
def test_a_model_that_everybody_reads_alike_has_no_problem(name, tmp_path):
    assert token_ids.compared(as_0_2_saved_it(name, tmp_path), TEXTS) == {"schema": 1, "rows": len(TEXTS), "problem": None}


def test_a_model_that_others_read_otherwise_is_not_registered_and_is_compared_once(tmp_path):
    workspace = Workspace(tmp_path)
    folder = as_0_2_saved_it("bert: pre-tokenizer by white space", tmp_path / "model")
    with pytest.raises(EnvironmentFault, match="the model in model is not registered: row 1: from token") as caught:
        token_check.require_same_ids(workspace, "demo", folder, "f" * 64, lambda: TEXTS)
    assert "dvc repro --force" in str(caught.value.fix)
    with pytest.raises(EnvironmentFault, match="is not registered: row 1"):
        token_check.require_same_ids(workspace, "demo", folder, "f" * 64, lambda: pytest.fail("compared twice"))


def test_a_tokenizer_that_does_not_load_says_so(tmp_path):
    folder = as_0_2_saved_it("bert", tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(EnvironmentFault, match="gives no ids: "):
        token_check.compare(Workspace(tmp_path), folder, "f" * 64, lambda: TEXTS)
