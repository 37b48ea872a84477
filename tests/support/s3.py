"""A local S3 server for tests: moto's, in a thread, on loopback; with the environment that a program needs to use it.

The environment is the process's own, as it is an operator's: programs that the test starts inherit it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "packages"


@dataclass(frozen=True, slots=True)
class S3Server:
    """The server, and what is in its one bucket."""

    client: Any
    port: int

    def address(self, prefix: str) -> str:
        """Return the repository's address as a setting."""
        return f"s3://{BUCKET}/{prefix}"

    def keys(self, prefix: str = "") -> list[str]:
        """List the objects."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def unfinished(self) -> list[str]:
        """List the multipart uploads that are neither completed nor given up."""
        return [entry["Key"] for entry in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def content(self, key: str) -> bytes:
        """Read an object."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content


@contextlib.contextmanager
def running_s3() -> Iterator[S3Server]:
    """Run it as long as the block."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    given = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield S3Server(client, port)
        client.close()
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
