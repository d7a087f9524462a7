"""regraft keeps language models trained: adapt, fine-tune, prove, register, promote, and again when the data has changed."""

__version__ = "0.3.0.dev0"
