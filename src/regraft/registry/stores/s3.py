"""A bucket of S3, or of anything that speaks its API and honours conditional writes.

``If-None-Match: *`` makes :meth:`Bucket.create` exact, and ``If-Match`` the leases. Some servers answer 200 to a condition that does not
hold, so :meth:`Bucket.check` tries both before anything rests on them, and this process's first write does it, too. boto3 repeats a
request whose answer was lost, and is then told that the object is there: its metadata hold a token of the call that wrote it, so a
call knows its own write again. Keys, region and endpoint come from the environment (``AWS_*``, ``MLFLOW_S3_ENDPOINT_URL``).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regraft.core.errors import EnvironmentFault, Unreachable
from regraft.core.key_values import Lease
from regraft.registry.stores.copies import Copies
from regraft.registry.stores.leases import held

TOKEN = "regraft-writer"
AT_ONCE = 16
"""Objects that are read at once: one takes 10-30 ms, nearly all of it waiting."""
ATTEMPTS = 8
"""Of a request, in about 20 s: six answers of 503 in a row were seen to end boto3's usual four."""
SECONDS = 10
"""For the next bytes of an answer: a server that is frozen is given up after a minute and a half, and a run then asks again."""
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
UNMET = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})


class Bucket:
    """Keys are objects below a prefix. Creating it touches nothing."""

    shared = True

    def __init__(self, bucket: str, prefix: str, copies: Path) -> None:
        self._bucket, self._prefix, self._copies = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "", Copies(copies)
        self._checked = False
        self._bare = False
        """Whether the server compares an ETag without its quotes: Ceph 16.2 calls its own, as it told it, another one."""

    @cached_property
    def _client(self) -> Any:
        try:
            boto3: Any = importlib.import_module("boto3")
            config: Any = importlib.import_module("botocore.config").Config
        except ModuleNotFoundError:
            raise EnvironmentFault(f"{self.where()} needs boto3, which is not installed", fix="pip install 'regraft[s3]'") from None
        retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
        options = config(retries=retries, connect_timeout=SECONDS, read_timeout=SECONDS, max_pool_connections=AT_ONCE)
        with self._told():
            return boto3.Session().client("s3", endpoint_url=endpoint(), config=options)

    def where(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def check(self) -> None:
        key = f".probe/{uuid.uuid4().hex}"
        try:
            first = self._conditional(key, b"1", IfNoneMatch="*")
            ignored = [name for name, condition in (("If-None-Match", {"IfNoneMatch": "*"}), ("If-Match", {"IfMatch": '"0"'})) if first
                       and self._conditional(key, b"2", **condition)]  # fmt: skip
            if first and not ignored and not self._swap(key, b"1", b"2"):
                self._bare = True
                ignored = [] if self._swap(key, b"1", b"2") else ["If-Match"]
        finally:
            with self._told():
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        if ignored or not first:
            message = f"{self.where()} cannot hold a store: it does not honour {' and '.join(ignored) or 'If-None-Match'}"
            fix = "use S3, a server with conditional writes (MinIO, Ceph from 16.2 on), or PostgreSQL"
            raise EnvironmentFault(f"{message}, so two who promote at once could both be told that they won", fix=fix)
        self._checked = True

    def get(self, key: str) -> bytes | None:
        found = self._object(key)
        return found[0] if found else None

    def _object(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and ETag; None: nothing is there."""
        with self._told():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return answer["Body"].read(), str(answer["ETag"])
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise

    def read(self, folder: str) -> dict[str, bytes]:
        names = [name for name in self.names(folder) if "/" not in name and not name.startswith(".")]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            values = dict(zip(names, pool.map(lambda name: self.get(f"{folder}/{name}"), names), strict=True))
        return {name: value for name, value in values.items() if value is not None}

    def names(self, folder: str) -> list[str]:
        prefix = f"{self._prefix}{folder}/"
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return sorted(item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", ()))

    def put(self, key: str, value: bytes) -> None:
        self._require_checked()
        with self._told():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=value)
        self._copies.forget(key)

    def create(self, key: str, value: bytes) -> bool:
        self._require_checked()
        return self._conditional(key, value, IfNoneMatch="*")

    def swap(self, key: str, old: bytes, new: bytes) -> bool:
        """Keep ``new`` under ``key`` if ``old`` is there (:class:`regraft.registry.stores.leases.Swapping`)."""
        self._require_checked()
        return self._swap(key, old, new)

    def _swap(self, key: str, old: bytes, new: bytes) -> bool:
        if (found := self._object(key)) is None or found[0] != old:
            return False
        return self._conditional(key, new, IfMatch=found[1].strip('"') if self._bare else found[1])

    def _require_checked(self) -> None:
        if not self._checked:
            self.check()

    def _conditional(self, key: str, value: bytes, **condition: str) -> bool:
        """Whether the object was written by this very call, under its condition."""
        name, token = self._prefix + key, uuid.uuid4().hex
        with self._told():
            try:
                self._client.put_object(Bucket=self._bucket, Key=name, Body=value, Metadata={TOKEN: token}, **condition)
                return True
            except self._client.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in UNMET and code not in MISSING:
                    raise
            try:
                return bool(self._client.head_object(Bucket=self._bucket, Key=name)["Metadata"].get(TOKEN) == token)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in MISSING:
                    raise
                return False

    def delete(self, key: str) -> None:
        self._require_checked()
        with self._told():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        self._copies.forget(key)

    def file(self, key: str) -> Path | None:
        return self._copies.file(key, self.get)

    def lease(self, name: str, seconds: float) -> AbstractContextManager[Lease]:
        return held(self, name, seconds)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the store or the way to it refuses, as an ``EnvironmentFault``."""
        errors: Any = importlib.import_module("botocore.exceptions")
        try:
            yield
        except errors.ClientError as error:
            code = error.response["Error"]["Code"]
            reason = {
                "NoSuchBucket": "there is no such bucket",
                "AccessDenied": "access is denied",
                "InvalidAccessKeyId": "the access key is not known there",
                "SignatureDoesNotMatch": "the secret key is wrong",
            }.get(code, f"{error.response['Error'].get('Message') or 'refused'} ({code})")
            kind = Unreachable if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500 else EnvironmentFault
            raise kind(f"{self.where()}: {reason}", fix="regraft doctor") from None
        except errors.NoCredentialsError:
            fix = "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... (on EC2: AWS_EC2_METADATA_DISABLED=false)"
            raise EnvironmentFault(f"{self.where()}: the environment has no credentials", fix=fix) from None
        except (errors.HTTPClientError, errors.ConnectionError) as error:
            raise Unreachable(f"{self.where()} does not answer: {error}", fix="regraft doctor") from None
        except errors.BotoCoreError as error:
            raise EnvironmentFault(f"{self.where()} cannot be reached: {error}", fix="regraft doctor") from None


def open_bucket(url: str, root: Path, copies: Path) -> Bucket:
    """``s3://BUCKET/PREFIX``, the prefix may be left out."""
    parts = urlsplit(url)
    if not parts.netloc:
        raise ValueError("a bucket is missing: write `s3://BUCKET/PREFIX`")
    return Bucket(parts.netloc, parts.path, copies)


def endpoint() -> str | None:
    """The server that the environment names; None: AWS's own."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
    return next((value for name in names if (value := os.environ.get(name))), None)
