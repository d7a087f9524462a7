"""One tokenizer a model: packing, training, scoring, serving and whoever opens the saved folder get the same ids of it.

``tokenizer.json`` is the tokenizer, where there is one. transformers 5 reads of it the vocabulary and the frame, and rebuilds the
normaliser and pre-tokenizer from the class and ``tokenizer_config.json``: 32 of the 52 folders in tests/tokenizer_variants.py so got
other ids in serving than in training. Here both are compared, part by part. Where they agree, files stay as they are, byte for byte;
where they do not, the saved configuration names the generic class, which takes ``tokenizer.json`` as it is, and says what else the
old class said. What even that does not bring in line is refused (:mod:`regraft.models.tokenizer_files` refuses most of it before
anything runs).

``truncation_side`` is the configuration's to say, in training too. Padding is on the right, as training pads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.models.tokenizer_files import CONFIG, ROLES, TOKENIZER

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

FILES = (
    TOKENIZER, CONFIG, "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "*.model",
)  # fmt: skip
GENERIC = "PreTrainedTokenizerFast"
"""The class that rebuilds nothing; transformers 4 knows it by this name too, unlike by ``TokenizersBackend``."""
UNLIMITED = 10**9
"""transformers writes 1e30 where a tokenizer knows no longest text."""
Json = dict[str, Any]


def load(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder: the one that is read back from what :func:`save` makes of it.

    :raises ConfigError: its files cannot be brought in line.
    """
    loaded, config = _reconciled(folder)
    if config is None:
        return loaded
    with TemporaryDirectory(prefix="tokenizer-") as scratch:
        return _read_back(folder, config, Path(scratch))


def backend(folder: Path) -> Tokenizer:
    """The same without transformers round it, for text by the gigabyte."""
    fast: Tokenizer = load(folder).backend_tokenizer
    return fast


def token_counter(folder: Path) -> Callable[[Sequence[str]], list[int]]:
    """What counts the tokens of texts as the model in ``folder`` reads them, those included that frame a text."""
    counting = backend(folder)
    counting.no_truncation()
    counting.no_padding()
    return lambda texts: [len(encoding.ids) for encoding in counting.encode_batch_fast(list(texts))]


def save(source: Path, out: Path) -> None:
    """Write the tokenizer of ``source`` to ``out``: its files byte for byte, or ``tokenizer.json`` under a configuration that fits it.

    :raises ConfigError: as :func:`load`.
    """
    loaded, config = _reconciled(source)
    if config is None:
        for path in sorted(path for pattern in FILES for path in source.glob(pattern)):
            shutil.copyfile(path, out / path.name)
        return
    if (source / TOKENIZER).is_file():
        shutil.copyfile(source / TOKENIZER, out / TOKENIZER)
    else:
        loaded.backend_tokenizer.save(str(out / TOKENIZER))
    files.write_json(out / CONFIG, config)


def without_types(folder: Path) -> None:
    """Tell whoever opens ``folder`` that its model reads no token types: a pair's separators alone told its texts apart in training."""
    path = folder / CONFIG
    spoken = files.read_json(path) if path.is_file() else {}
    names = [name for name in _read(folder).model_input_names if name != "token_type_ids"]
    files.write_json(path, {**spoken, "model_input_names": names})


def alone(folder: Path, loaded: PreTrainedTokenizerBase) -> Tokenizer:
    """``tokenizer.json`` as the library reads it that wrote it, without the rest of the folder.

    But for one thing, which no configuration prevents: transformers takes the special tokens out of a text before anything else looks
    at it, also those that ``tokenizer.json`` has as mere words. No frame is written out: it counts the texts of a pair all the same.
    """
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    if tokenizer.post_processor is None:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    roles = {str(token) for role in ROLES if (token := getattr(loaded, role, None))} | set(map(str, loaded.extra_special_tokens))
    own = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    special = [token for token in loaded.added_tokens_decoder.values() if token.content in roles - own]
    tokenizer.add_special_tokens([token for token in special if tokenizer.token_to_id(token.content) is not None])
    tokenizer.encode_special_tokens = loaded.split_special_tokens
    return tokenizer


def differences(one: Tokenizer, other: Tokenizer) -> list[str]:
    """The parts by which two tokenizers could give a text different ids; a frame is compared by what it does."""
    a, b = _parts(one), _parts(other)
    parts = [part for part in {**a, **b} if a.get(part) != b.get(part)]
    return parts if _framed(one, one) == _framed(one, other) else [*parts, "post_processor"]


def _reconciled(folder: Path) -> tuple[PreTrainedTokenizerBase, Json | None]:
    """The tokenizer as transformers reads it, and the configuration under which it gives the ids of tokenizer.json; None: its own does."""
    loaded = _read(folder)
    if not (folder / TOKENIZER).is_file():
        # Only the older files: both sides convert them. Production has no sentencepiece, so that conversion is done once, here.
        converted = any(folder.glob("*.model")) and not (folder / "vocab.txt").is_file()
        return loaded, _generic(loaded) if converted else None
    truth = alone(folder, loaded)
    if differences(truth, loaded.backend_tokenizer):
        return loaded, _generic(loaded, truth)
    spoken = files.read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    return loaded, {**spoken, **_padded(loaded)} if _unpadded(loaded) else None


def _read_back(folder: Path, config: Json, scratch: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that is saved for ``folder``, proven to give the ids of its tokenizer.json."""
    shutil.copyfile(folder / "config.json", scratch / "config.json")
    save(folder, scratch)
    loaded = _read(scratch)
    if parts := differences(alone(scratch, loaded), loaded.backend_tokenizer):
        raise ConfigError(
            f"the tokenizer in {folder} cannot be saved so that transformers reads it as it is: {', '.join(parts)} of {TOKENIZER} would "
            f"be others (class {config.get('tokenizer_class')})",
            fix=f"open it with AutoTokenizer, correct {', '.join(parts)}, and save_pretrained it",
        )
    return loaded


def _read(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    quiet()
    try:
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as fault:  # a conversion fails in ways that nobody listed: TypeError, ValueError, of Rust
        first = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        if (folder / TOKENIZER).is_file():
            raise ConfigError(
                f"transformers cannot read the tokenizer in {folder}: {first}",
                fix=f"correct {TOKENIZER} or {CONFIG} in {folder}; AutoTokenizer.from_pretrained has to open it",
            ) from fault
        raise ConfigError(
            f"{folder} has no {TOKENIZER}, and transformers cannot make one of the older files there: {first}",
            fix=f"put the {TOKENIZER} of the same model into {folder}",
        ) from fault
    if len(loaded) <= len(loaded.all_special_tokens):
        raise ConfigError(
            f"the tokenizer in {folder} has {len(loaded)} tokens, all of them special, so every word would be unknown",
            fix=f"put the {TOKENIZER} of the same model into {folder}",
        )
    return loaded


def _generic(loaded: PreTrainedTokenizerBase, truth: Tokenizer | None = None) -> Json:
    """A configuration that leaves everything to tokenizer.json, and keeps what stands in no other file."""
    known = truth or loaded.backend_tokenizer
    special = {role: str(token) for role in ROLES if (token := getattr(loaded, role, None)) and known.token_to_id(str(token)) is not None}
    others = [str(token) for token in loaded.extra_special_tokens if known.token_to_id(str(token)) is not None]
    limit = {"model_max_length": loaded.model_max_length} if loaded.model_max_length < UNLIMITED else {}
    return {
        "tokenizer_class": GENERIC,
        **special,
        **({"additional_special_tokens": others} if others else {}),
        **limit,
        **({"split_special_tokens": True} if loaded.split_special_tokens else {}),
        "truncation_side": loaded.truncation_side,
        "clean_up_tokenization_spaces": False,
        **_padded(loaded),
    }


def _unpadded(loaded: PreTrainedTokenizerBase) -> bool:
    """Whether whoever pads with the tokenizer gets another batch than training has, on the left or without a mask, or none at all."""
    return loaded.padding_side != "right" or "attention_mask" not in loaded.model_input_names or loaded.pad_token is None


def _padded(loaded: PreTrainedTokenizerBase) -> Mapping[str, Any]:
    """What makes batches those of training. A tokenizer without a token to pad with, as many of decoders are, pads with its end of text."""
    names = list(loaded.model_input_names)
    end = loaded.eos_token if loaded.pad_token is None else None
    return {
        "padding_side": "right",
        "model_input_names": names if "attention_mask" in names else [*names, "attention_mask"],
        **({"pad_token": str(end)} if end else {}),
    }


def _parts(tokenizer: Tokenizer) -> Json:
    """What decides about ids before the frame, each in one spelling."""
    described = json.loads(tokenizer.to_str())
    normalizer = described["normalizer"]
    if normalizer and normalizer["type"] == "BertNormalizer" and normalizer["strip_accents"] is None:
        normalizer["strip_accents"] = normalizer["lowercase"]
    added = [{key: value for key, value in token.items() if key != "special"} for token in described["added_tokens"]]
    model = {f"model.{key}": _spelled(key, value) for key, value in described["model"].items()}
    return {"normalizer": normalizer, "pre_tokenizer": described["pre_tokenizer"], **model, "added_tokens": added}


def _spelled(key: str, value: Any) -> Any:
    """No affix is None or empty, and the last bits of a score depend on who parsed it: they decide no text but by ties."""
    if key in ("continuing_subword_prefix", "end_of_word_suffix"):
        return value or None
    return [[token, round(score, 10)] for token, score in value] if key == "vocab" and isinstance(value, list) else value


def _framed(source: Tokenizer, tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
    """Ids and type ids that the frame of ``tokenizer`` makes of one text and of a pair."""
    framed = []
    tokenizer.no_truncation()  # what a folder says of lengths is no part of the frame, and whoever encodes says it anew
    tokenizer.no_padding()
    for pair in (False, True):
        one, two = (source.encode(text, add_special_tokens=False) for text in ("a", "b"))
        whole = tokenizer.post_process(one, two if pair else None, True)
        framed.append((whole.ids, whole.type_ids))
    return framed


def quiet() -> None:
    """Load reports and progress bars of transformers go nowhere; what is missing is asked for instead."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
