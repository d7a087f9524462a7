"""A drop in a bucket: a real S3 API (moto), with a door in front of it that closes in the middle."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from moto.server import ThreadedMotoServer

from regraft.core.errors import Conflict, DataRejected, EnvironmentFault
from regraft.production import s3_source


class Door(http.server.BaseHTTPRequestHandler):
    """Hands requests on. It can let half of an object through and close, be busy, spoil a byte, and call an ETag otherwise."""

    behind = ""
    closing = 0
    busy = 0
    """So many requests are answered with 503."""
    spoiling = False
    """Whether a byte of each object is another one."""
    tags: tuple[str, str] = ("", "")
    """An ETag of the store, and what it is called to those in front of the door."""
    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        if Door.busy > 0:
            Door.busy -= 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        theirs, shown = Door.tags
        asked = {name: text.replace(shown, theirs) if shown else text for name, text in self.headers.items()}
        request = urllib.request.Request(self.behind + self.path, headers=asked, method=self.command)
        try:
            with urllib.request.urlopen(request) as answer:
                status, headers, body = answer.status, answer.headers.items(), answer.read()
        except urllib.error.HTTPError as error:
            status, headers, body = error.code, error.headers.items(), error.read()
        is_object = self.path.partition("?")[0].endswith(".csv")
        if not is_object and shown:
            body = body.replace(theirs.encode(), shown.encode())
        if is_object and Door.spoiling and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", *(("content-length",) if self.command == "GET" else ())):
                self.send_header(name, value.replace(theirs, shown) if shown else value)
        if self.command == "GET":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if is_object and self.command == "GET":
            Door.ranges.append(self.headers.get("Range"))
            if Door.closing > 0:
                Door.closing -= 1
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.connection.close()
                return
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    Door.behind, Door.closing, Door.busy, Door.spoiling, Door.tags, Door.ranges = f"http://{host}:{port}", 0, 0, False, ("", ""), []
    door = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{door.server_port}")
    client = boto3.client("s3", endpoint_url=Door.behind)
    client.create_bucket(Bucket="drops")
    yield client
    door.shutdown()
    door.server_close()
    server.stop()


ROWS = b"id,text,label\n" + b"".join(b"n%d,row number %d,garden\n" % (n, n) for n in range(20_000))


def test_a_connection_that_dies_is_gone_on_with_from_where_it_ended(bucket, tmp_path):
    bucket.put_object(Bucket="drops", Key="may/rows.csv", Body=ROWS)
    Door.closing = 2
    path = s3_source.fetch("s3://drops/may/rows.csv", tmp_path)
    assert (path.name, path.read_bytes()) == ("rows.csv", ROWS)
    assert Door.ranges[0] is None
    assert [wanted for wanted in Door.ranges[1:] if wanted is None] == [], "the beginning is fetched once"
    assert s3_source.fetch("s3://drops/may/rows.csv", tmp_path) == path
    assert len(Door.ranges) == 3, "what is there is not fetched again"


def test_one_that_keeps_dying_keeps_what_has_come(bucket, tmp_path):
    bucket.put_object(Bucket="drops", Key="may/rows.csv", Body=ROWS)
    Door.closing = s3_source.ATTEMPTS
    with pytest.raises(EnvironmentFault, match="broke off 8 times"):
        s3_source.fetch("s3://drops/may", tmp_path)
    begun = len(Door.ranges)
    assert (s3_source.fetch("s3://drops/may", tmp_path) / "rows.csv").read_bytes() == ROWS
    assert all(Door.ranges[begun:])


LONG = b"id,text,label\n" + b"".join(b"n%d,row number %d,garden\n" % (n, n) for n in range(500_000))


def in_parts(client: Any, key: str, *sizes: int) -> bytes:
    """Upload an object in parts of these sizes, the last of which may be small."""
    content = LONG[: sum(sizes)]
    upload = client.create_multipart_upload(Bucket="drops", Key=key)["UploadId"]
    parts, begun = [], 0
    for number, size in enumerate(sizes, start=1):
        body, begun = content[begun : begun + size], begun + size
        part = client.upload_part(Bucket="drops", Key=key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    client.complete_multipart_upload(Bucket="drops", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    return content


@pytest.mark.parametrize("sizes", [(5 * 2**20, 700), (5 * 2**20, 6 * 2**20), (5 * 2**20, 6 * 2**20, 100), (5 * 2**20,)])
def test_an_object_that_was_uploaded_in_parts_is_compared_part_by_part(bucket, tmp_path, sizes):
    content = in_parts(bucket, "may/rows.csv", *sizes)
    assert bucket.head_object(Bucket="drops", Key="may/rows.csv")["ETag"].endswith(f'-{len(sizes)}"')
    assert s3_source.fetch("s3://drops/may/rows.csv", tmp_path).read_bytes() == content
    Door.spoiling = True
    with pytest.raises(Conflict, match="came with other bytes than the store has"):
        s3_source.fetch("s3://drops/may/rows.csv", tmp_path / "again")


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1", "CRC32"])
def test_a_checksum_that_the_store_keeps_decides_and_an_etag_under_a_key_is_none(bucket, tmp_path, algorithm):
    def fetched(name: str) -> bytes:
        return s3_source.fetch("s3://drops/may/rows.csv", tmp_path / name).read_bytes()

    bucket.put_object(Bucket="drops", Key="may/rows.csv", Body=ROWS, ServerSideEncryption="aws:kms")
    Door.tags = (bucket.head_object(Bucket="drops", Key="may/rows.csv")["ETag"].strip('"'), "0f" * 16)
    assert fetched("encrypted") == ROWS, "its ETag is no MD5 of its bytes"
    bucket.put_object(Bucket="drops", Key="may/rows.csv", Body=ROWS, ChecksumAlgorithm=algorithm)
    assert fetched("summed") == ROWS
    Door.spoiling = True
    with pytest.raises(Conflict, match="other bytes"):
        fetched("spoiled")


def test_a_store_that_is_busy_is_asked_again_eight_times(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    bucket.put_object(Bucket="drops", Key="may/rows.csv", Body=ROWS)
    Door.busy = 8
    assert s3_source.fetch("s3://drops/may/rows.csv", tmp_path).read_bytes() == ROWS
    Door.busy = 9
    with pytest.raises(EnvironmentFault, match="cannot be fetched"):
        s3_source.fetch("s3://drops/may/rows.csv", tmp_path / "again")


def test_a_prefix_is_a_folder_and_names_that_climb_out_are_refused(bucket, tmp_path):
    for key in ("may/a.csv", "may/b/c.jsonl", "may/.hidden", "mayhem/x.csv"):
        bucket.put_object(Bucket="drops", Key=key, Body=b"x")
    folder = s3_source.fetch("s3://drops/may/", tmp_path)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == ["a.csv", "b/c.jsonl"]
    bucket.delete_object(Bucket="drops", Key="may/a.csv")
    again = s3_source.fetch("s3://drops/may/", tmp_path)
    assert [path.name for path in again.rglob("*") if path.is_file()] == ["c.jsonl"], "what is no longer there is not read"
    with pytest.raises(DataRejected, match="holds nothing"):
        s3_source.fetch("s3://drops/june/", tmp_path)
    with pytest.raises(EnvironmentFault, match="cannot be fetched"):
        s3_source.fetch("s3://nowhere/may/", tmp_path)
    with pytest.raises(DataRejected, match=r"with `\.\.`"):
        s3_source._below(Path("x"), "../y", "s3://drops/may/")


def test_a_drop_in_a_bucket_is_handed_in_like_a_file(bucket, tiny, cli):
    bucket.put_object(Bucket="drops", Key="may/rows.csv", Body=b"id,text,label\nn1,one new row,garden\n")
    told = cli("handoff", "tiny", "s3://drops/may/", "--no-commit", "--json").json
    assert (told["outcome"], told["accepted"], told["source"]) == ("accepted", 1, "s3://drops/may/")
    assert list((tiny.scratch / "handoff" / "s3").iterdir()) == [], "what was fetched goes once it was taken in"
    assert cli("handoff", "tiny", "s3://drops/may/", "--no-commit", "--json").json["outcome"] == "already"
    bucket.put_object(Bucket="drops", Key="june/rows.csv", Body=b"id,text\nn2,no label\n")
    assert cli("handoff", "tiny", "s3://drops/june/", "--no-commit").code == 3
    assert list((tiny.scratch / "handoff" / "s3").iterdir()) == [], "nor does it stay once it was refused"
    bucket.put_object(Bucket="drops", Key="june/SHA256SUMS", Body=b"0" * 64 + b"  rows.csv\n")
    assert cli("handoff", "tiny", "s3://drops/june/", "--no-commit").code == 3
    assert len(list((tiny.scratch / "handoff" / "s3").iterdir())) == 1, "what has not come whole is gone on with"
