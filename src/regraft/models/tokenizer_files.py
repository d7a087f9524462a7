"""What the files of a tokenizer say against one another, read as JSON: what would be refused after minutes is said by ``plan``.

``tokenizer.json`` is the tokenizer. Where ``tokenizer_config.json`` only leaves something unsaid, :mod:`regraft.models.tokenizer` saves a
configuration that says it. Where it says the opposite, one of the two files is wrong, and only the model's owner knows which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regraft.core.errors import Problem

Json = dict[str, Any]
CONFIG, TOKENIZER = "tokenizer_config.json", "tokenizer.json"
RULE = "tokenizer"
"""Rule of every problem that is told here."""
SIDES = ("truncation_side", "padding_side")
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
WORD_PIECES = ("bert", "convbert", "distilbert", "electra", "mobilebert", "mpnet")
"""Kinds of models whose older tokenizer is a vocab.txt: of a SentencePiece file transformers makes them one that knows no word."""
PIECES = {"albert": ("[CLS]", "[SEP]")}
"""Kind of model -> tokens that its SentencePiece file holds itself; transformers 5.23 cannot make a tokenizer of one without them."""
LEAST = 0.5
"""Share of a model's embeddings that its tokenizer has tokens for, at least. What is free for padding and new tokens is 2 % of phi-2's
51,200 and less elsewhere; a tokenizer of nearly the same size that is another model's cannot be told by it."""
FULL = 0.99
"""Share from which on nothing is said: below it stand vocabularies that lack more than what is free for padding, and phi-2's."""
MASKS = ("[MASK]", "<mask>", "<MASK>", "[mask]", "<|mask|>")
"""What tokens are called that hide another, where no file names one and the tokenizer's class may."""
FRAMES = {"add_bos_token": "bos_token", "add_eos_token": "eos_token"}
"""Keys that make transformers put a new frame round each text -> the token that it then holds."""


def conflicts(folder: Path) -> Iterator[Problem]:
    """Every key of ``folder`` that cannot be brought in line with the others. Files that are no JSON objects are for others to name."""
    config, tokenizer = _object(folder / CONFIG), _object(folder / TOKENIZER)
    yield from _sides(folder, config)
    if not (folder / TOKENIZER).is_file():
        yield from _older(folder)
        return
    model = tokenizer.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        yield _problem(folder / TOKENIZER, "model.vocab", None, "it holds no vocabulary", f"restore {folder / TOKENIZER}")
        return
    if faults := list(_unreadable(folder / TOKENIZER, tokenizer)):
        yield from faults
        return
    ids = _ids(model["vocab"], tokenizer.get("added_tokens") or [])
    yield from _too_many(folder / TOKENIZER, ids)
    yield from _unknown_tokens(folder, config, ids)
    yield from _opposites(folder, config, tokenizer)


def vocabulary(folder: Path) -> dict[str, int] | None:
    """Token -> id, of the files in ``folder`` that say so as they are; None: a tokenizer is made of others, which may add tokens."""
    model = _object(folder / TOKENIZER).get("model")
    known = model.get("vocab") if isinstance(model, dict) else None
    return _ids(known, _object(folder / TOKENIZER).get("added_tokens") or []) if isinstance(known, dict | list) else None


def without_mask(folder: Path) -> bool:
    """Whether the tokenizer in ``folder`` surely has no token that hides another: no file names one, and its vocabulary has none."""
    named = any(_content(_object(folder / name).get("mask_token")) for name in (CONFIG, "special_tokens_map.json"))
    known = vocabulary(folder)
    return not named and known is not None and not known.keys() & set(MASKS)


def spare(folder: Path) -> tuple[int, int] | None:
    """(tokens, embeddings) of the model in ``folder``, where more than a few embeddings stand for no token; None: not, or no file tells."""
    rows, known = _object(folder / "config.json").get("vocab_size"), vocabulary(folder)
    if type(rows) is not int or not known:
        return None
    tokens = max((number for number in known.values() if type(number) is int), default=-1) + 1
    return (tokens, rows) if tokens < rows * FULL else None


def _object(path: Path) -> Json:
    """The JSON object in ``path``; empty where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _problem(path: Path, key: str, value: Any, why: str, fix: str) -> Problem:
    shown = "" if value is None else f" is {json.dumps(value, ensure_ascii=False)}, but"
    message = f"{path.name}: {key}{shown} {why}" if shown else f"{path.name}: {why}"
    return Problem(message=message, file=str(path), column=key, value=value, rule=RULE, fix=fix)


def _unreadable(path: Path, tokenizer: Json) -> Iterator[Problem]:
    """What keeps the library that wrote the file from reading it, or from giving a text the same ids twice.

    It is asked about all but vocabulary and merges, which take nearly all of the time that it needs.
    """
    from tokenizers import Tokenizer  # 5 ms

    model = tokenizer["model"]
    vocabulary, unknown = model["vocab"], model.get("unk_id")  # a list has to reach as far as the unknown token
    few = vocabulary[: unknown + 1 if type(unknown) is int else 1] if isinstance(vocabulary, list) else {}
    bare = {**tokenizer, "model": {**model, "vocab": few, **({"merges": []} if "merges" in model else {})}}
    try:
        Tokenizer.from_str(json.dumps(bare))
    except Exception as fault:  # of Rust, which raises Exception itself
        why = f"the library tokenizers cannot read it: {str(fault).partition(' at line ')[0]}"
        yield _problem(path, "tokenizer", None, why, "fetch the whole model again, or save_pretrained it with the library that reads it")
        return
    if model.get("dropout"):
        why = "a text is then cut at random, so that training, scoring and serving each read another"
        yield _problem(path, "model.dropout", model["dropout"], why, f"in {path}, write dropout: null")


def _sides(folder: Path, config: Json) -> Iterator[Problem]:
    for key in SIDES:
        if (side := config.get(key, "right")) not in ("left", "right"):
            yield _problem(folder / CONFIG, key, side, "a side is left or right", f"in {folder / CONFIG}, write {key}: right, or left")


def _older(folder: Path) -> Iterator[Problem]:
    """What keeps a tokenizer from being made of the older files, of which each kind of model has its own."""
    kind, words, pairs = _object(folder / "config.json").get("model_type"), folder / "vocab.txt", folder / "vocab.json"
    if words.is_file():
        tokens = words.read_text(encoding="utf8", errors="replace").splitlines()
        yield from _too_many(words, {token: number for number, token in enumerate(tokens)} | _object(folder / "added_tokens.json"))
    elif kind in WORD_PIECES:
        yield _problem(words, "vocabulary", None, f"missing: a {kind} model reads it, or {TOKENIZER}", "fetch the whole model again")
    elif pairs.is_file():
        if not (folder / "merges.txt").is_file():
            path = folder / "merges.txt"
            yield _problem(path, "merges", None, f"missing beside vocab.json, and there is no {TOKENIZER}", "fetch the whole model again")
        yield from _too_many(pairs, {**_object(pairs), **_object(folder / "added_tokens.json")})
    elif models := sorted(folder.glob("*.model")):
        yield from _pieces(models[0], kind)


def _pieces(path: Path, kind: str | None) -> Iterator[Problem]:
    """What is wrong with a SentencePiece file that is the only tokenizer there is."""
    from sentencepiece import SentencePieceProcessor  # 10 ms, and few models come without a tokenizer.json

    try:
        processor = SentencePieceProcessor(model_proto=path.read_bytes())
    except (RuntimeError, OSError):
        yield _problem(path, "tokenizer", None, f"SentencePiece cannot read it, and there is no {TOKENIZER}", "fetch the whole model again")
        return
    ids = {processor.id_to_piece(number): number for number in range(processor.get_piece_size())}
    if missing := [token for token in PIECES.get(kind or "", ()) if token not in ids]:
        why = f"it has no {' and no '.join(missing)}, which {kind} puts round every text: it is another model's"
        yield _problem(path, "tokenizer", None, why, "fetch the whole model again")
    yield from _too_many(path, ids)


def _ids(vocabulary: Any, added: list[Any]) -> dict[str, int]:
    """Token -> id."""
    ids = dict(vocabulary) if isinstance(vocabulary, dict) else {entry[0]: number for number, entry in enumerate(vocabulary)}
    return ids | {token["content"]: token["id"] for token in added if isinstance(token, dict) and {"content", "id"} <= set(token)}


def _too_many(path: Path, ids: Mapping[str, int]) -> Iterator[Problem]:
    """Ids of the vocabulary in ``path`` that have no embedding."""
    rows = _object(path.parent / "config.json").get("vocab_size")
    most, token = max(((number, token) for token, number in ids.items() if type(number) is int), default=(-1, ""))
    if type(rows) is int and most >= rows:
        why = f"gives {token!r} the id {most}, and the model has embeddings for the ids up to {rows - 1} (vocab_size in config.json)"
        fix = f"model.resize_token_embeddings({most + 1}) and save_pretrained, or a {TOKENIZER} without the tokens that were added"
        yield _problem(path, "added_tokens", None, why, fix)
    elif type(rows) is int and 0 < most + 1 < rows * LEAST:
        why = f"it has {most + 1:,} tokens, and the model embeds {rows:,} (vocab_size in config.json): it is another model's"
        yield _problem(path, "vocabulary", None, why, "fetch the whole model again")


def _unknown_tokens(folder: Path, config: Json, ids: dict[str, int]) -> Iterator[Problem]:
    """Tokens that transformers would add behind the vocabulary, under ids that have no embedding."""
    names = {folder / CONFIG: config, folder / "special_tokens_map.json": _object(folder / "special_tokens_map.json")}
    for path, keys in names.items():
        for key, token in _named(keys):
            if token not in ids:
                why = f"{TOKENIZER} does not have that token"
                yield _problem(path, key, token, why, f"in {path}, name a token that {TOKENIZER} has, or take {key} out")
    for key in ROLES:
        if isinstance(written := config.get(key), dict) and "__type" not in written:
            why = "transformers reads a string there, or an object with __type: AddedToken"
            yield _problem(folder / CONFIG, key, written, why, f"in {folder / CONFIG}, write {key}: {json.dumps(_content(written))}")
    for token in sorted(set(_object(folder / "added_tokens.json")) - set(ids)):
        path = folder / "added_tokens.json"
        yield _problem(path, token, None, f"{TOKENIZER} does not have {token!r}", f"rm {path}, or add the token to {TOKENIZER}")


def _named(keys: Json) -> Iterator[tuple[str, str]]:
    """(key, token) of every token that a file names."""
    for key in ROLES:
        if token := _content(keys.get(key)):
            yield key, token
    for key in ("additional_special_tokens", "extra_special_tokens"):
        several = keys.get(key) or []
        for token in several.values() if isinstance(several, dict) else several:
            if content := _content(token):
                yield key, content
    for number, token in (keys.get("added_tokens_decoder") or {}).items():
        if content := _content(token):
            yield f"added_tokens_decoder.{number}", content


def _content(token: Any) -> str | None:
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) and value else None


def _opposites(folder: Path, config: Json, tokenizer: Json) -> Iterator[Problem]:
    """Keys of tokenizer_config.json that say the opposite of what tokenizer.json does."""
    for key, (part, does) in _done(tokenizer).items():
        value = config.get(key)
        if isinstance(value, bool) and does is not None and value is not does:
            why = f"the {part} of {TOKENIZER} {'does it' if does else 'does not'}"
            fix = f"in {folder / CONFIG}, write {key}: {json.dumps(does)} if {TOKENIZER} is right, else correct its {part}"
            yield _problem(folder / CONFIG, key, value, why, fix)
    template = json.dumps(tokenizer.get("post_processor"), ensure_ascii=False)
    for key, role in FRAMES.items():
        token = _content(config.get(role))
        if config.get(key) is True and (token is None or json.dumps(token, ensure_ascii=False) not in template):
            why = f"the post_processor of {TOKENIZER} adds no such token"
            yield _problem(folder / CONFIG, key, True, why, f"in {folder / CONFIG}, take {key} out, or correct the post_processor")


def _done(tokenizer: Json) -> dict[str, tuple[str, bool | None]]:
    """Key of a configuration -> the part of tokenizer.json that settles it, and what that does; None: it does not show."""
    norms, splits = list(_parts(tokenizer.get("normalizer"))), list(_parts(tokenizer.get("pre_tokenizer")))
    bert = next((part for part in norms if part["type"] == "BertNormalizer"), None)
    kinds = {part["type"] for part in norms}
    hidden = "Precompiled" in kinds  # a table of characters, which may fold case too
    lowers = "Lowercase" in kinds or bool(bert and bert.get("lowercase"))
    accents = bert.get("strip_accents") if bert else None
    strips = "StripAccents" in kinds or bool(bert and (lowers if accents is None else accents))
    spaces = [_prefixes(part) for part in splits if part["type"] in ("ByteLevel", "Metaspace")]
    return {
        "do_lower_case": ("normalizer", True if lowers else None if hidden else False),
        "strip_accents": ("normalizer", True if strips else None if hidden else False),
        "tokenize_chinese_chars": ("normalizer", bool(bert.get("handle_chinese_chars")) if bert else None),
        "add_prefix_space": ("pre_tokenizer", any(spaces) if spaces else None),
    }


def _parts(component: Any) -> Iterator[Json]:
    """A component, or the components that it is a sequence of."""
    if isinstance(component, dict) and isinstance(component.get("type"), str):
        inner = component.get("normalizers") or component.get("pretokenizers") or []
        if component["type"] == "Sequence":
            for part in inner:
                yield from _parts(part)
        else:
            yield component


def _prefixes(part: Json) -> bool:
    """Whether a pre-tokenizer puts a space before the first word."""
    if part["type"] == "Metaspace":
        return bool(part.get("prepend_scheme", "always" if part.get("add_prefix_space", True) else "never") != "never")
    return bool(part.get("add_prefix_space"))
