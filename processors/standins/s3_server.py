"""The process of `S3Server`: makes the buckets that its arguments name, prints its address, and
serves until the pipe of its standard input closes.
"""

import logging
import select
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Final

import boto3
from moto.server import ThreadedMotoServer

from processors.standins.s3_kept import Kept

SAVE_EVERY_S: Final = 1.0


def main(buckets: list[str], folder: Path | None) -> None:
    """`folder` keeps the objects; None: they end with the process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request, else
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="stand-in",
        aws_secret_access_key="stand-in",
    )
    for bucket in buckets:
        client.create_bucket(Bucket=bucket)
    kept = None if folder is None else Kept(client, buckets, folder)
    if kept is not None:
        kept.load()
    print(url, flush=True)
    # Its end comes with whoever started us, however that ends.
    while not _ended(None if kept is None else SAVE_EVERY_S):
        if kept is not None:
            kept.save()
    if kept is not None:
        kept.save()
    server.stop()


def _ended(limit_s: float | None) -> bool:
    """Whether standard input closed within that time."""
    readable, _, _ = select.select([sys.stdin], [], [], limit_s)
    return bool(readable)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("buckets", nargs="+")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    main(given.buckets, given.folder)
