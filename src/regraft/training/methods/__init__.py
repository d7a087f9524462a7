"""Methods of fine-tuning, one file each: its options, how it trains, what it leaves. :mod:`regraft.training.plugins` names them."""
