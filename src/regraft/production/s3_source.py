"""A drop in a bucket: ``s3://bucket/prefix``, fetched whole before it is read, and gone on with where a connection died.

What has come of an object lies in ``.regraft/handoff/s3/`` until the drop was judged; the next try asks for the rest of it alone, and only
if the object is still the one that was begun (its ETag). What has come is compared with what the store says of it (:func:`_is_whole`).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any

from regraft.core import files
from regraft.core.errors import Conflict, DataRejected, EnvironmentFault, Problem
from regraft.data.handoff import checksums

ATTEMPTS = 8
"""Tries of one request, and of one object whose connection dies; six 503s fail boto3's default mode."""
BLOCK = 2**20
CHECKSUMS: dict[str, Callable[[Path], str]] = {
    "ChecksumSHA256": lambda path: _as_told(_hashed(path, "sha256")),
    "ChecksumSHA1": lambda path: _as_told(_hashed(path, "sha1")),
    "ChecksumCRC32": lambda path: _as_told(_crc32(path)),
}
"""What a store may say of the whole of an object, and what computes it."""
PLAIN = "AES256"
"""Encryption under which an ETag is what it is without."""


def folder_of(uri: str, home: Path) -> Path:
    """Where the objects behind ``uri`` are fetched to."""
    return home / "s3" / files.sha256_text(uri)[:16]


def fetch(uri: str, home: Path) -> Path:
    """The objects behind ``uri`` as files below ``home``.

    :raises DataRejected: there is none.
    :raises EnvironmentFault: the store is out of reach, refuses, or boto3 is not installed.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client, errors = _client(uri)
    folder = folder_of(uri, home)
    try:
        objects = _objects(client, bucket, key)
        if not objects:
            problem = Problem(message="no object has that name or begins so", file=uri, rule="file.exists")
            raise DataRejected(f"{uri} holds nothing", fix=f"aws s3 ls {uri}", problems=[problem])
        for stale in [path for path in (folder / "whole").rglob("*") if path.is_file()]:
            if stale.relative_to(folder / "whole").as_posix() not in objects:
                stale.unlink()
        for name, found in objects.items():
            _fetch(client, bucket, found, _below(folder / "whole", name, uri), folder / "parts")
    except errors as error:
        message = f"{uri} cannot be fetched: {' '.join(str(error).split())}"
        raise EnvironmentFault(message, fix=f"the same command once more, which goes on where it ended; aws s3 ls {uri}") from None
    return folder / "whole" / next(iter(objects)) if next(iter(objects)) == PurePosixPath(key).name else folder / "whole"


@dataclass(frozen=True)
class Entry:
    """What lies directly below a prefix: an object, or all objects of a folder."""

    objects: tuple[tuple[str, str, int], ...]
    """(name below the prefix, ETag, bytes) of each."""
    age: float
    """Seconds since the last of them came, by the store's own clock."""


def entries(uri: str) -> dict[str, Entry]:
    """Name -> what lies under it below ``uri``; :class:`EnvironmentFault` where the store is out of reach or refuses."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    prefix = key if not key or key.endswith("/") else f"{key}/"
    client, errors = _client(uri)
    below: dict[str, list[dict[str, Any]]] = {}
    clock = datetime.now(UTC)
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            if date := page["ResponseMetadata"]["HTTPHeaders"].get("date"):
                clock = parsedate_to_datetime(date)
            for item in page.get("Contents", ()):
                if name := item["Key"].removeprefix(prefix):
                    below.setdefault(name.partition("/")[0], []).append({**item, "name": name})
    except errors as error:
        message = f"{uri} cannot be listed: {' '.join(str(error).split())}"
        raise EnvironmentFault(message, fix=f"aws s3 ls {uri}") from None
    return {
        name: Entry(
            tuple((item["name"], item["ETag"], item["Size"]) for item in items),
            (clock - max(item["LastModified"] for item in items)).total_seconds(),
        )
        for name, items in sorted(below.items())
    }


def forget(uri: str, home: Path) -> None:
    """Remove what was fetched."""
    shutil.rmtree(folder_of(uri, home), ignore_errors=True)


def _client(uri: str) -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise EnvironmentFault(f"{uri} needs boto3, which is not installed", fix="pip install 'regraft[s3]'") from None
    config = Config(retries={"mode": "standard", "max_attempts": ATTEMPTS}, connect_timeout=10, read_timeout=60)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("MLFLOW_S3_ENDPOINT_URL")
    return boto3.client("s3", config=config, endpoint_url=endpoint or None), (BotoCoreError, ClientError)


def _objects(client: Any, bucket: str, key: str) -> dict[str, dict[str, Any]]:
    """Name below the prefix -> the object, of all that a drop may hold; of one object its own name."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    found = {item["Key"]: item for page in pages for item in page.get("Contents", ())}
    if key in found and not key.endswith("/"):
        return {PurePosixPath(name).name: found[name] for name in (key, key + checksums.SUFFIX) if name in found}
    prefix = key if not key or key.endswith("/") else f"{key}/"
    inside = {name.removeprefix(prefix): item for name, item in found.items() if name.startswith(prefix) and not name.endswith("/")}
    return {name: item for name, item in inside.items() if not any(part.startswith(".") and part != ".." for part in name.split("/"))}


def _below(folder: Path, name: str, uri: str) -> Path:
    if ".." in name.split("/") or name.startswith("/"):
        problem = Problem(message=f"the object {name!r} would be written outside its folder", file=uri, rule="file.path")
        raise DataRejected(f"{uri} holds a name with `..`", fix="rename the object", problems=[problem])
    return folder / name


def _fetch(client: Any, bucket: str, item: dict[str, Any], target: Path, parts: Path) -> None:
    """One object; what is there of it already is not fetched again."""
    tag, size = item["ETag"].strip('"'), item["Size"]
    part = parts / f"{files.sha256_text(item['Key'])[:16]}-{files.sha256_text(tag)[:16]}"
    if target.is_file() and target.stat().st_size == size and (parts / f"{part.name}.done").is_file():
        return
    parts.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    for attempt in range(ATTEMPTS):
        if part.stat().st_size >= size:
            break
        try:
            _go_on(client, bucket, item, part)
        except _spoiled():
            part.unlink()
            raise _other_bytes(bucket, item) from None
        except _broken() as error:
            if attempt == ATTEMPTS - 1:
                raise EnvironmentFault(
                    f"s3://{bucket}/{item['Key']} broke off {ATTEMPTS} times; {part.stat().st_size:,} of {size:,} bytes have come: {error}",
                    fix="the same command once more, which goes on where it ended",
                ) from None
    if not _is_whole(client, bucket, item, part):
        part.unlink()
        raise _other_bytes(bucket, item)
    os.replace(part, target)
    (parts / f"{part.name}.done").touch()


def _other_bytes(bucket: str, item: dict[str, Any]) -> Conflict:
    return Conflict(f"s3://{bucket}/{item['Key']} came with other bytes than the store has", fix="the same command once more")


def _spoiled() -> tuple[type[Exception], ...]:
    """What boto3 raises of an answer that is whole and does not have the checksum that came with it."""
    from botocore.exceptions import FlexibleChecksumError

    return (FlexibleChecksumError,)


def _broken() -> tuple[type[Exception], ...]:
    """How a connection that dies shows itself."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError

    return HTTPClientError, IncompleteReadError, ResponseStreamingError, ConnectionError


def _go_on(client: Any, bucket: str, item: dict[str, Any], part: Path) -> None:
    begun = part.stat().st_size
    wanted = {"Range": f"bytes={begun}-"} if begun else {}
    answer = client.get_object(Bucket=bucket, Key=item["Key"], IfMatch=item["ETag"], **wanted)
    with part.open("ab") as sink:
        for block in answer["Body"].iter_chunks(BLOCK):
            sink.write(block)


def _is_whole(client: Any, bucket: str, item: dict[str, Any], path: Path) -> bool:
    """Whether ``path`` has the bytes of an object; True where the store says nothing of them that can be computed here.

    It may keep a checksum of the whole. Else the ETag is an MD5: of the object, or of the MD5s of its parts, with their number behind a
    hyphen. It is neither where a key of KMS or of the customer encrypts the object
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
    """
    head = client.head_object(Bucket=bucket, Key=item["Key"], IfMatch=item["ETag"], ChecksumMode="ENABLED")
    digest, _, count = str(item["ETag"]).strip('"').partition("-")
    if head.get("ChecksumType", "COMPOSITE" if count else "FULL_OBJECT") == "FULL_OBJECT":
        for name, checksum in CHECKSUMS.items():
            if name in head:
                return checksum(path) == str(head[name])
    if head.get("ServerSideEncryption", PLAIN) != PLAIN or "SSECustomerAlgorithm" in head:
        return True
    if len(digest) != 32:
        return True
    if not count:
        return _hashed(path, "md5").hex() == digest
    return any(
        sizes is None or hashlib.md5(b"".join(_md5s(path, sizes)), usedforsecurity=False).hexdigest() == digest
        for sizes in _part_sizes(client, bucket, item, int(count))
    )


def _part_sizes(client: Any, bucket: str, item: dict[str, Any], count: int) -> Iterator[list[int] | None]:
    """Bytes of each of the ``count`` parts that an object was uploaded in, the probable ones first; None: the store does not say."""

    def of_part(number: int) -> int:
        return int(client.head_object(Bucket=bucket, Key=item["Key"], PartNumber=number)["ContentLength"])

    first, size = of_part(1), item["Size"]
    if first <= 0 or (first >= size and count > 1):
        yield None
        return
    if count <= 2 or -(-size // first) == count:  # as most tools cut: parts of one size, and a rest
        yield [first] * (count - 1) + [size - first * (count - 1)]
    if count > 2:
        yield [first, *map(of_part, range(2, count + 1))]


def _md5s(path: Path, sizes: Sequence[int]) -> Iterator[bytes]:
    with path.open("rb") as handle:
        for left in sizes:
            digest = hashlib.md5(usedforsecurity=False)
            while left > 0 and (block := handle.read(min(left, BLOCK))):
                digest.update(block)
                left -= len(block)
            yield digest.digest()


def _hashed(path: Path, name: str) -> bytes:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.new(name, usedforsecurity=False)).digest()


def _crc32(path: Path) -> bytes:
    crc = 0
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            crc = zlib.crc32(block, crc)
    return crc.to_bytes(4, "big")


def _as_told(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
