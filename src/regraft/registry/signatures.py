"""Signed words of people, by OpenSSH: ``ssh-keygen -Y``, with the keys that they use for git anyway, agents and hardware keys included.

The file of approvers is OpenSSH's ``allowed_signers`` (man ssh-keygen, ALLOWED SIGNERS): a name, and its public key.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from regraft.core.errors import ConfigError, EnvironmentFault

NAMESPACE = "regraft-approval"
"""A signature of anything else, such as a commit, is none of an approval."""


def sign(text: str, key: Path) -> str:
    """The signature of ``text`` by the private key in ``key``, or by the agent's key for the public one there. May ask for a passphrase."""
    done = _ssh_keygen("-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key), text=text)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"{key} cannot sign: {reason}", fix="--key names a private key, or the public key of one that ssh-agent has")
    return done.stdout


def name_of(key: Path, approvers: Path) -> str:
    """Who of ``approvers`` has ``key``; ConfigError where nobody does."""
    probe = "regraft: whose key is this?\n"
    signature = sign(probe, key)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "signature"
        path.write_text(signature, encoding="utf8")
        done = _ssh_keygen("-Y", "find-principals", "-s", str(path), "-f", str(approvers))
    names = done.stdout.split()
    if done.returncode or not names:
        raise ConfigError(
            f"{key} is the key of nobody in {approvers.name}", fix=f"use a key that is in {approvers}, or have it added there"
        )
    return names[0]


def verified(text: str, signature: str, name: str, approvers: Path) -> bool:
    """Whether ``signature`` is that of ``text`` by ``name``, a key of whom ``approvers`` holds."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "signature"
        path.write_text(signature, encoding="utf8")
        argv = ("-Y", "verify", "-q", "-n", NAMESPACE, "-f", str(approvers), "-I", name, "-s", str(path))
        return _ssh_keygen(*argv, text=text).returncode == 0


def _ssh_keygen(*argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["ssh-keygen", *argv], input=text, capture_output=True, text=True, encoding="utf8", check=False)
    except FileNotFoundError:
        raise EnvironmentFault("signed answers need ssh-keygen, which is not here", fix="apt-get install openssh-client") from None
