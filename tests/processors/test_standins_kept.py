"""The objects of development's S3: files that anybody opens, there again at the next start."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from processors.standins.s3 import EXPORTS, S3Server
from tests.support.waiting import until

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.slow

LIMIT_S = 30
KEY = "reports/1/relatorio.pdf"


def client_of(server: S3Server) -> "S3Client":
    said = server.variables
    return boto3.client(
        "s3",
        endpoint_url=said["S3_ENDPOINT_URL"],
        region_name=said["AWS_REGION"],
        aws_access_key_id=said["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
    )


def test_an_object_is_a_file_while_the_server_runs_and_after(tmp_path: Path) -> None:
    path = tmp_path / EXPORTS / KEY
    with S3Server(tmp_path) as server:
        client_of(server).put_object(Bucket=EXPORTS, Key=KEY, Body=b"%PDF")
        until(path.exists, "it is a file", limit_s=LIMIT_S)
        assert path.stat().st_mode & 0o077 == 0

    assert path.read_bytes() == b"%PDF"


def test_the_next_start_has_it_again_as_old_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / EXPORTS / KEY
    with S3Server(tmp_path) as server:
        client_of(server).put_object(Bucket=EXPORTS, Key=KEY, Body=b"%PDF")
    written_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    os.utime(path, times=(written_at.timestamp(),) * 2)

    with S3Server(tmp_path) as server:
        found = client_of(server).get_object(Bucket=EXPORTS, Key=KEY)

        assert found["Body"].read() == b"%PDF"
        assert found["ContentType"] == "application/pdf"
        assert found["LastModified"] == written_at


def test_what_is_deleted_stays_deleted(tmp_path: Path) -> None:
    with S3Server(tmp_path) as server:
        client_of(server).put_object(Bucket=EXPORTS, Key=KEY, Body=b"%PDF")
    with S3Server(tmp_path) as server:
        client_of(server).delete_object(Bucket=EXPORTS, Key=KEY)
    with S3Server(tmp_path) as server:
        assert client_of(server).list_objects_v2(Bucket=EXPORTS)["KeyCount"] == 0

    assert not (tmp_path / EXPORTS / KEY).exists()


def test_half_a_file_and_a_link_that_lie_there_are_no_objects(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not yours")
    folder = tmp_path / "kept" / EXPORTS
    folder.mkdir(parents=True)
    (folder / "a.pdf.part").write_bytes(b"%P")  # of a server that was killed
    (folder / "link").symlink_to(tmp_path / "secret")

    with S3Server(tmp_path / "kept") as server:
        assert client_of(server).list_objects_v2(Bucket=EXPORTS)["KeyCount"] == 0

    assert not (folder / "a.pdf.part").exists()
