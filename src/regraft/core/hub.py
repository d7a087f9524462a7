"""One pinned revision on the Hugging Face hub: the local cache first, then the network, if there is any.

huggingface_hub asks for the list of files six times, 23 s in all, also where the name of the hub does not resolve. One
look at the first hop, 3 s at most for each of its addresses, says so at once. A connection that fails later is tried again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

CONNECT_SECONDS = 3.0
"""Time for each address: TCP repeats a lost first packet after 1 s and again after 3 s."""


class NoSuchRevision(LookupError):
    """The hub has no such repository or revision, or the token may not read it."""


def snapshot(
    repo: str, revision: str, wanted: Sequence[str], whole: Callable[[Path], bool], kind: str = "model"
) -> tuple[Path | None, str]:
    """The cached folder of ``revision`` with the files that match ``wanted``, fetched where it is not ``whole``; or None.

    ``why`` beside it says what the hub or the network said against it, "" where they gave all they have. ``HF_HUB_OFFLINE``
    and a wholly cached revision, which cannot change, need no network.

    :raises NoSuchRevision: as the hub says.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    why = ""
    for local_only in (True, False):
        if not local_only and (why := _unreachable()):
            break
        try:
            folder = snapshot_download(repo, repo_type=kind, revision=revision, allow_patterns=list(wanted), local_files_only=local_only)
        except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise NoSuchRevision(str(error)) from None
        except Exception as error:  # an OSError, or one of httpx, which has another name in each version of huggingface_hub
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
        else:
            why = ""
            # A killed download leaves some of the files, and offline these are handed out without a word.
            if whole(Path(folder)):
                return Path(folder), ""
    return None, why


def _unreachable() -> str:
    """Why nothing can be fetched: the name of the hub, or of the proxy before it, does not resolve, or nobody answers there."""
    from huggingface_hub import constants, is_offline_mode

    if is_offline_mode():
        return ""  # huggingface_hub says so itself
    hop = urlsplit(constants.ENDPOINT)
    import urllib.request  # 40 ms, with TLS: not for every command that reads a pipeline file

    proxies = urllib.request.getproxies()
    proxy = proxies.get(hop.scheme) or proxies.get("all")
    try:
        if proxy and not urllib.request.proxy_bypass(hop.hostname or ""):
            hop = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        port = hop.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(hop.scheme, 80)
        if hop.hostname:
            socket.create_connection((hop.hostname, port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{hop.hostname}:{port}: {error.strerror or error}"
    except ValueError:  # an address that is none: huggingface_hub complains about it without a second try
        return ""
    return ""
