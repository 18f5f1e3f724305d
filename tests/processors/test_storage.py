"""Files in S3: whole or not there, encrypted, listed, linked for minutes; and S3's troubles."""

import asyncio
import hashlib
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest

from processors.standins.buckets import main as make_buckets
from processors.standins.s3 import S3Server
from processors.storage import (
    InvalidStorage,
    ObjectMissing,
    Storage,
    StoragePlace,
    StorageUnavailable,
)
from processors.storage.bucket import disposition
from processors.storage.upload import PART_BYTES
from streamq import Fail

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import HeadObjectOutputTypeDef

Answer = TypeVar("Answer")

PDF = "application/pdf"
LARGE = bytes(range(256)) * (PART_BYTES // 256 * 2 + 1)
"""Two parts and a little."""


async def keys(storage: Storage) -> list[str]:
    return [found.key async for found in storage.exports.list("a/")]


async def unfinished(storage: Storage) -> int:
    name = storage.exports.name
    page = await storage.begin(name, lambda s3: s3.list_multipart_uploads(Bucket=name))
    return len(page.get("Uploads", []))


async def test_an_object_is_read_as_it_was_put(storage: Storage) -> None:
    await storage.exports.put("a/1.pdf", b"%PDF", PDF)

    assert await storage.exports.get("a/1.pdf") == b"%PDF"
    info = await storage.exports.info("a/1.pdf")
    assert info is not None
    assert info.size == 4


async def test_an_object_is_encrypted_by_the_server(storage: Storage) -> None:
    name = storage.exports.name
    await storage.exports.put("a/small", b"x", PDF)
    async with storage.exports.upload("a/large", PDF) as upload:
        await upload.write(LARGE)

    async def looked(key: str) -> "HeadObjectOutputTypeDef":
        return await storage.begin(key, lambda s3: s3.head_object(Bucket=name, Key=key))

    for head in (await looked("a/small"), await looked("a/large")):
        assert head["ServerSideEncryption"] == "AES256"
        assert head["ContentType"] == PDF


@pytest.mark.parametrize("content", [b"", b"small", LARGE[:PART_BYTES], LARGE], ids=len)
async def test_an_upload_of_any_size_arrives_whole(storage: Storage, content: bytes) -> None:
    async with storage.exports.upload("a/b.dump", PDF) as upload:
        for start in range(0, len(content), 1_000_000):
            await upload.write(content[start : start + 1_000_000])
        assert await storage.exports.info("a/b.dump") is None, "visible before it was complete"

    back = hashlib.sha256()
    async for chunk in storage.exports.read("a/b.dump"):
        back.update(chunk)
    assert back.hexdigest() == upload.sha256 == hashlib.sha256(content).hexdigest()
    assert upload.size == len(content)
    assert await unfinished(storage) == 0


async def test_an_upload_that_fails_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(ZeroDivisionError):
        async with storage.exports.upload("a/b.dump", PDF) as upload:
            await upload.write(LARGE)
            raise ZeroDivisionError

    assert await keys(storage) == []
    assert await unfinished(storage) == 0


async def test_an_upload_that_is_cancelled_leaves_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    begin, busy, at_once = storage.begin, list[str](), list[int]()

    def watched(what: str, call: Callable[["S3Client"], Answer]) -> "asyncio.Future[Answer]":
        def run(s3: "S3Client") -> Answer:
            busy.append(what)
            at_once.append(len(busy))
            try:
                return call(s3)
            finally:
                busy.remove(what)

        return begin(what, run)

    monkeypatch.setattr(storage, "begin", watched)

    async def uploads() -> None:
        async with storage.exports.upload("a/b.dump", PDF) as upload:
            await upload.write(LARGE[:PART_BYTES])
            begun.set()
            await upload.write(LARGE)

    running = asyncio.create_task(uploads())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert max(at_once) == 1, "given up while a part was still on its way"
    assert await keys(storage) == []
    assert await unfinished(storage) == 0


async def test_what_a_killed_worker_left_is_dropped(storage: Storage) -> None:
    name = storage.exports.name
    await storage.begin(name, lambda s3: s3.create_multipart_upload(Bucket=name, Key="a/left"))

    # The stand-in says that all of them began in 2010.
    assert await storage.exports.drop_unfinished("a/", older_than=timedelta(days=36_500)) == 0
    assert await storage.exports.drop_unfinished("a/", older_than=timedelta()) == 1
    assert await unfinished(storage) == 0


async def test_a_list_goes_over_pages_and_a_delete_too(storage: Storage) -> None:
    wanted = [f"a/{number:04}" for number in range(1_005)]
    for start in range(0, len(wanted), 100):
        page = wanted[start : start + 100]
        await asyncio.gather(*(storage.exports.put(key, b"x", PDF) for key in page))
    await storage.exports.put("ab", b"x", PDF)

    assert await keys(storage) == wanted
    assert await storage.exports.delete(wanted) == 1_005
    assert await keys(storage) == []
    assert await storage.exports.info("ab") is not None


async def test_what_is_missing_says_so(storage: Storage) -> None:
    assert await storage.exports.info("a/none") is None
    with pytest.raises(ObjectMissing, match="a/none"):
        await storage.exports.get("a/none")
    assert await storage.exports.delete(["a/none"]) == 1


async def test_an_object_larger_than_memory_may_hold_is_not_read_into_it(storage: Storage) -> None:
    await storage.exports.put("a/b", b"12345", PDF)

    with pytest.raises(ValueError, match="more than 4 bytes"):
        await storage.exports.get("a/b", bytes_max=4)


@pytest.mark.parametrize(
    "key", ["", "/a", "a/../b", "a//b", "../a", "a\x00b", "a b", "ção", "a?b", "x" * 513]
)
async def test_a_key_that_is_not_ours_is_refused(storage: Storage, key: str) -> None:
    for call in (
        storage.exports.put(key, b"", PDF),
        storage.exports.delete([key]),
        storage.exports.link(key, filename="a", mime_type=PDF),
    ):
        with pytest.raises(ValueError, match="no key of ours"):
            await call


def opened(url: str) -> tuple[bytes, str, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read(), answer.headers["Content-Disposition"], answer.headers["Content-Type"]


async def test_a_link_opens_the_object_as_a_file_of_that_name(storage: Storage) -> None:
    await storage.exports.put("a/1.pdf", b"%PDF", PDF)

    link = await storage.exports.link("a/1.pdf", filename="Relatório 1.pdf", mime_type=PDF)

    content, how, kind = await asyncio.to_thread(opened, link)
    assert (content, kind) == (b"%PDF", PDF)
    assert "filename*=UTF-8''Relat%C3%B3rio%201.pdf" in how
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["900"]


async def test_a_link_does_not_live_longer_than_minutes(storage: Storage) -> None:
    with pytest.raises(ValueError, match="15 minutes"):
        await storage.exports.link(
            "a/1", filename="a", mime_type=PDF, lifetime=timedelta(minutes=16)
        )


def test_a_name_cannot_break_out_of_its_header() -> None:
    said = disposition('a"; x=\r\nSet-Cookie: b')

    assert said.isascii()
    assert said.isprintable()
    assert said.count('"') == 2


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Storage]:
    """A storage whose server gives that answer to whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    storage = Storage(
        StoragePlace(backups="back", exports="exports", endpoint=f"http://127.0.0.1:{port}")
    )
    try:
        yield storage
    finally:
        await storage.aclose()
        server.close()


def error(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>said so</Message></Error>".encode()
    return (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stand-in")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stand-in")
    monkeypatch.setattr("processors.storage.client.ATTEMPTS", 1)


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", Fail, "may not do that"),
        (403, "InvalidAccessKeyId", Fail, "AWS_ACCESS_KEY_ID"),
        (403, "RequestTimeTooSkewed", StorageUnavailable, "403 RequestTimeTooSkewed"),
        (404, "NoSuchBucket", Fail, "no such bucket"),
        (404, "NoSuchKey", ObjectMissing, "no such object"),
        (400, "EntityTooLarge", Fail, "EntityTooLarge"),
        (500, "InternalError", StorageUnavailable, "500 InternalError"),
        (503, "SlowDown", StorageUnavailable, "503 SlowDown"),
    ],
)
async def test_an_answer_means_later_or_never(
    keyed: None, status: int, code: str, kind: type[Exception], says: str
) -> None:
    async with answering(error(status, code)) as storage:
        with pytest.raises(kind, match=says):
            await storage.exports.get("a/1")


async def test_a_body_that_breaks_off_is_not_taken_for_the_whole(keyed: None) -> None:
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this"
    async with answering(broken) as storage:
        with pytest.raises(StorageUnavailable):
            await storage.exports.get("a/1")


async def test_a_server_that_is_not_there_is_trouble_that_passes(keyed: None) -> None:
    async with answering(b"") as storage:
        pass
    storage = Storage(
        StoragePlace(backups="back", exports="exports", endpoint="http://127.0.0.1:1")
    )

    with pytest.raises(StorageUnavailable, match="Could not connect"):
        await storage.exports.put("a/1", b"x", PDF)
    await storage.aclose()


async def test_without_a_bucket_a_job_fails_with_what_to_do() -> None:
    storage = Storage(None)
    with pytest.raises(Fail, match="EXPORT_BUCKET"):
        _ = storage.exports
    await storage.aclose()


async def test_a_link_for_another_key_does_not_open(storage: Storage) -> None:
    await storage.exports.put("a/1.pdf", b"%PDF", PDF)
    link = await storage.exports.link("a/1.pdf", filename="a", mime_type=PDF)

    with pytest.raises(HTTPError):
        await asyncio.to_thread(opened, link.replace("a/1.pdf", "a/2.pdf"))


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("BACKUP_BUCKET", {"backups": "A"}),
        ("EXPORT_BUCKET", {"exports": "back"}),
        ("AWS_REGION", {"region": "São Paulo"}),
        ("S3_ENDPOINT_URL", {"endpoint": "ftp://s3.example.com"}),
        ("S3_ENDPOINT_URL", {"endpoint": "https://s3.example.com/path"}),
        ("S3_ENDPOINT_URL", {"endpoint": "https://s3.example.com:port"}),
    ],
)
def test_a_place_that_cannot_be_names_its_variable(variable: str, place: dict[str, str]) -> None:
    with pytest.raises(InvalidStorage) as caught:
        StoragePlace(**({"backups": "back", "exports": "exports"} | place))

    assert caught.value.name == variable


async def test_the_command_makes_the_buckets_that_are_missing(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, f"new.{value}" if name.endswith("_BUCKET") else value)

    for _ in range(2):
        assert await asyncio.to_thread(make_buckets) == 0
    assert "new.imobibase-exports are there" in capsys.readouterr().out

    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("processors.storage.client.ATTEMPTS", 1)
    assert await asyncio.to_thread(make_buckets) == 1
