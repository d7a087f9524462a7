"""Decoders: text in, one vector a token out; each token sees those before it alone (Radford et al. 2019, "Language Models are Unsupervised
Multitask Learners", section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regraft.models.families.encoder import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from regraft.data.packing import Frame

DECODERS = frozenset({
    "diffllama", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "helium",
    "llama", "ministral", "mistral", "nemotron", "olmo", "olmo2", "persimmon", "phi", "phi3", "qwen2", "qwen3", "seed_oss", "smollm3",
    "stablelm", "starcoder2",
})  # fmt: skip
"""Types of transformers 5.23 that have a causal and a classification head, and whose positions say which tokens see each other."""
BLIND = {
    "biogpt": "positions", "bloom": "distances", "mpt": "distances", "openai-gpt": "positions", "opt": "positions",
}  # fmt: skip
"""Types with both heads that are told by nothing where a document begins inside a sequence: what they number themselves."""


class Decoder(Encoder):
    """What transformers builds as ``AutoModelForCausalLM``, and its task models: a body, and beside it a head that reads the last token."""

    name = "decoder"
    version = 1
    stands_for = frozenset({"decoder"})
    model_types = DECODERS
    pretrained = "AutoModelForCausalLM"
    objective = "clm"
    method = "lora"

    def frame(self, tokenizer: PreTrainedTokenizerBase) -> Frame:
        """Whatever the tokenizer puts before a text stands before each document, and its end of text after each; sequences have no frame.

        :raises ConfigError: the tokenizer knows no end of text.
        """
        from regraft.core.errors import ConfigError
        from regraft.data.packing import Frame

        end = tokenizer.eos_token_id
        if end is None:
            raise ConfigError(
                f"the tokenizer of the base model ({tokenizer.name_or_path}) has no eos_token, and documents of a decoder are joined by it",
                fix="name an eos_token of its vocabulary in tokenizer_config.json, or another base_model in the pipeline file",
            )
        before = tuple(token for token in tokenizer("")["input_ids"] if token != end)
        return Frame(before=before, after=(int(end),))


DECODER = Decoder()
