"""Tokenizer folders in which two files may say two things: of BERT (WordPiece), RoBERTa (byte-level BPE) and XLM-R (Unigram)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Edit = Callable[[Path, Json, Json], None]

TEXTS = (
    "The Über-Array of naïve tensors, frames 中文 and the rest of all that stands there",
    "tensor",
    " leading and  double   spaces",
    "WORDS IN CAPITALS [MASK] and <mask> of the array",
    "hello-world don't stop: x=3.14",
    "\ufb01ne ligatures \uff46\uff55\uff4c\uff4c width \u2460",
    "\u2581already marked\ttabs\nand lines",
)  # fmt: skip
"""Long ones, so that the side that is cut shows, and what normalisers, pre-tokenisers and added tokens treat differently."""


def _bert() -> tuple[Json, Json, Json]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [*TEXTS, *(text.lower() for text in TEXTS), "Über über Array WORDS"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
    ids = {token: tokenizer.token_to_id(token) for token in special}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    config = {"tokenizer_class": "BertTokenizer", "model_max_length": 64, "do_lower_case": True, **names}
    return {"model_type": "bert"}, json.loads(tokenizer.to_str()), config


def _roberta() -> tuple[Json, Json, Json]:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False, special=True)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet))
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")), add_prefix_space=False
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>"}
    config = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 64, "add_prefix_space": False, **names, "mask_token": "<mask>"}
    return {"model_type": "roberta"}, json.loads(tokenizer.to_str()), config


def _unigram() -> tuple[Json, Json, Json]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS * 3, trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))],
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>"}
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 64, **names, "mask_token": "<mask>"}
    return {"model_type": "xlm-roberta"}, json.loads(tokenizer.to_str()), config


FAMILIES = {"bert": _bert, "roberta": _roberta, "unigram": _unigram}


def _nothing(folder: Path, model: Json, config: Json) -> None:
    """As ``save_pretrained`` leaves it."""


def _config(**keys: Any) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        config.update(keys)

    return edit


def _json(**parts: Any) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        model.update(parts)

    return edit


def _without(*keys: str) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        for key in keys:
            config.pop(key, None)

    return edit


def _model(**fields: Any) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        model["model"].update(fields)

    return edit


def _normalizer(**fields: Any) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        model["normalizer"].update(fields)

    return edit


def _also(*edits: Edit) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        for one in edits:
            one(folder, model, config)

    return edit


def _added(content: str, **flags: bool) -> Edit:
    """A token that tokenizer.json has beside its vocabulary, with the next free id."""

    def edit(folder: Path, model: Json, config: Json) -> None:
        token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False, **flags}
        model["added_tokens"].append({"id": len(model["model"]["vocab"]), "content": content, **token})

    return edit


def _decoder(content: str, **flags: bool) -> Edit:
    """What tokenizer_config.json says of a token of tokenizer.json."""

    def edit(folder: Path, model: Json, config: Json) -> None:
        number = next(str(token["id"]) for token in model["added_tokens"] if token["content"] == content)
        token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}
        config.setdefault("added_tokens_decoder", {})[number] = {"content": content, **token}

    return edit


def _slow_bert(folder: Path, model: Json, config: Json) -> None:
    words = sorted(model["model"]["vocab"], key=model["model"]["vocab"].__getitem__)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf8")
    model.clear()


def _slow_roberta(folder: Path, model: Json, config: Json) -> None:
    (folder / "vocab.json").write_text(json.dumps(model["model"]["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf8")
    model.clear()


def _vocabulary_beside(folder: Path, model: Json, config: Json) -> None:
    words = sorted(model["model"]["vocab"], key=model["model"]["vocab"].__getitem__)
    (folder / "vocab.txt").write_text("\n".join([*words[:5], *reversed(words[5:])]) + "\n", encoding="utf8")


def _as_words(folder: Path, model: Json, config: Json) -> None:
    """Special tokens are in the vocabulary and nowhere else, as who builds a tokenizer by hand may leave it."""
    model["added_tokens"] = []


def _special_map(**names: str) -> Edit:
    def edit(folder: Path, model: Json, config: Json) -> None:
        (folder / "special_tokens_map.json").write_text(json.dumps(names))

    return edit


CUT_LEFT = {"direction": "Left", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
CUT = {"direction": "Right", "max_length": 8, "strategy": "OnlyFirst", "stride": 2}
PAD = {"strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
PLAIN = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
FOLDING = {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]}
A, B = ({"Sequence": {"id": name, "type_id": number}} for number, name in enumerate("AB"))
NO_FRAME = {"type": "TemplateProcessing", "single": [A], "pair": [A, B], "special_tokens": {}}
BEGIN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, A],
    "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, A, B],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
}
BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}

SAME, REFUSED = "same", "refused"
VARIANTS: dict[str, tuple[str, Edit, str]] = {
    "bert": ("bert", _nothing, SAME),
    "bert: cased in both": ("bert", _also(_normalizer(lowercase=False), _config(do_lower_case=False)), SAME),
    "bert: do_lower_case off, normalizer lowers": ("bert", _config(do_lower_case=False), "do_lower_case"),
    "bert: do_lower_case on, normalizer does not": ("bert", _normalizer(lowercase=False), "do_lower_case"),
    "bert: cased normalizer, config silent": ("bert", _also(_normalizer(lowercase=False), _without("do_lower_case")), SAME),
    "bert: strip_accents off in config": ("bert", _config(strip_accents=False), "strip_accents"),
    "bert: strip_accents off in normalizer": ("bert", _normalizer(strip_accents=False), SAME),
    "bert: tokenize_chinese_chars off in config": ("bert", _config(tokenize_chinese_chars=False), "tokenize_chinese_chars"),
    "bert: Chinese kept whole by normalizer": ("bert", _normalizer(handle_chinese_chars=False), SAME),
    "bert: control characters kept": ("bert", _normalizer(clean_text=False), SAME),
    "bert: a normalizer of its own, no do_lower_case": ("bert", _also(_json(normalizer=PLAIN), _without("do_lower_case")), SAME),
    "bert: a folding normalizer of its own": ("bert", _json(normalizer=FOLDING), SAME),
    "bert: no normalizer": ("bert", _also(_json(normalizer=None), _without("do_lower_case")), SAME),
    "bert: no normalizer, do_lower_case on": ("bert", _json(normalizer=None), "do_lower_case"),
    "bert: pre-tokenizer by white space": ("bert", _json(pre_tokenizer={"type": "WhitespaceSplit"}), SAME),
    "bert: no frame": ("bert", _json(post_processor=NO_FRAME), SAME),
    "bert: nothing round a text": ("bert", _json(post_processor=None), SAME),
    "bert: no [SEP] behind a text": ("bert", _json(post_processor=BEGIN), SAME),
    "bert: a mere word among special tokens": ("bert", _config(additional_special_tokens=["tensor"]), SAME),
    "bert: an added word that strips": ("bert", _added("naïve", lstrip=True, rstrip=True, normalized=False), SAME),
    "bert: mask_token is an object of no type": ("bert", _config(mask_token={"content": "[MASK]", "lstrip": True}), "mask_token"),
    "bert: truncation_side left": ("bert", _config(truncation_side="left"), SAME),
    "bert: truncation_side middle": ("bert", _config(truncation_side="middle"), "truncation_side"),
    "bert: tokenizer.json cuts left": ("bert", _json(truncation=CUT_LEFT), SAME),
    "bert: tokenizer.json cuts and pads": ("bert", _json(truncation=CUT, padding=PAD), SAME),
    "bert: padding_side left": ("bert", _config(padding_side="left"), SAME),
    "bert: no attention mask among its inputs": ("bert", _config(model_input_names=["input_ids"]), SAME),
    "bert: model_max_length too small": ("bert", _config(model_max_length=4), SAME),
    "bert: a word added to tokenizer.json": ("bert", _added("naïve"), SAME),
    "bert: [MASK] strips in config": ("bert", _decoder("[MASK]", lstrip=True), SAME),
    "bert: special tokens that are mere words": ("bert", _as_words, SAME),
    "bert: mask_token that no file has": ("bert", _config(mask_token="<mask>"), "mask_token"),
    "bert: special_tokens_map names another": ("bert", _special_map(mask_token="<mask>"), "mask_token"),
    "bert: cls_token is another token": ("bert", _config(cls_token="[MASK]"), SAME),
    "bert: extra special tokens that no file has": ("bert", _config(additional_special_tokens=["<e1>"]), "<e1>"),
    "bert: add_bos_token of a token outside the frame": ("bert", _config(add_bos_token=True, bos_token="[MASK]"), "add_bos_token"),
    "bert: another vocab.txt beside": ("bert", _vocabulary_beside, SAME),
    "bert: class of another model": ("bert", _config(tokenizer_class="RobertaTokenizer"), SAME),
    "bert: class unknown": ("bert", _config(tokenizer_class="HerTokenizer"), SAME),
    "bert: vocab.txt alone": ("bert", _slow_bert, SAME),
    "bert: vocab.txt alone, cased": ("bert", _also(_slow_bert, _config(do_lower_case=False)), SAME),
    "bert: split_special_tokens": ("bert", _config(split_special_tokens=True), SAME),
    "roberta": ("roberta", _nothing, SAME),
    "roberta: add_prefix_space in config": ("roberta", _config(add_prefix_space=True), "add_prefix_space"),
    "roberta: add_prefix_space in both": ("roberta", _also(_json(pre_tokenizer=BYTES), _config(add_prefix_space=True)), SAME),
    "roberta: add_prefix_space in tokenizer.json": ("roberta", _also(_json(pre_tokenizer=BYTES), _without("add_prefix_space")), SAME),
    "roberta: normalizer lowers": ("roberta", _json(normalizer={"type": "Lowercase"}), SAME),
    "roberta: <mask> without lstrip in config": ("roberta", _decoder("<mask>", lstrip=False), SAME),
    "roberta: no frame": ("roberta", _json(post_processor=NO_FRAME), SAME),
    "roberta: add_eos_token": ("roberta", _config(add_eos_token=True), SAME),
    "roberta: truncation_side left": ("roberta", _config(truncation_side="left"), SAME),
    "roberta: vocab.json and merges.txt alone": ("roberta", _slow_roberta, SAME),
    "roberta: cut at random": ("roberta", _model(dropout=0.1), "model.dropout"),
    "unigram": ("unigram", _nothing, SAME),
    "unigram: normalizer lowers": ("unigram", _json(normalizer={"type": "Lowercase"}), SAME),
    "unigram: no space before": (
        "unigram", _json(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}), SAME,
    ),
    "unigram: a space before the first word": (
        "unigram", _json(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}), SAME,
    ),
    "unigram: a pre-tokenizer that says two things": (
        "unigram", _json(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "add_prefix_space": False}), "add_prefix_space",
    ),
    "unigram: truncation_side left": ("unigram", _config(truncation_side="left"), SAME),
    "unigram: generic class": ("unigram", _config(tokenizer_class="PreTrainedTokenizerFast"), SAME),
}  # fmt: skip
"""Name -> family, edit, and what is expected: the same ids everywhere, or a refusal that names this."""


def make(name: str, folder: Path) -> Path:
    """Write the tokenizer of a variant to ``folder``, with the config.json of its model."""
    family, edit, _ = VARIANTS[name]
    config_json, model, config = FAMILIES[family]()
    folder.mkdir(parents=True, exist_ok=True)
    edit(folder, model, config)
    size = 400
    if model:
        size = 1 + max([token["id"] for token in model["added_tokens"]] + [len(model["model"]["vocab"]) - 1])
    elif (words := folder / "vocab.txt").is_file():
        size = len(words.read_text(encoding="utf8").splitlines())
    (folder / "config.json").write_text(json.dumps({**config_json, "vocab_size": size}))
    if model:
        (folder / "tokenizer.json").write_text(json.dumps(model))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
