"""The process of `S3Server`: makes the buckets that its arguments name, prints its address, and
serves until the pipe of its standard input closes.
"""

import logging
import sys

import boto3
from moto.server import ThreadedMotoServer


def main(buckets: list[str]) -> None:
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
    print(url, flush=True)
    sys.stdin.read()  # ends with whoever started us, however that ends
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
