"""Texts that no one wrote for training or test: test rows changed on purpose, and cases from a user's templates.

:mod:`~regraft.probes.files` reads what a gate names, :mod:`~regraft.probes.variants` makes the texts,
:mod:`~regraft.evidence.probes` keeps what the models said of them. What follows from that is :mod:`regraft.gates.probes`.
"""
