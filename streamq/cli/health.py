"""`streamq health`: for the probe of a container. It is asked often: standard library only."""

import contextlib
import os
import socket
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final, NamedTuple

from streamq.cli.console import Console
from streamq.cli.ping import shown
from streamq.cli.place import first_that_answers, named, places_of
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import InvalidSetting, StreamqError
from streamq.lookup import look_up

LIMIT_S: Final = 2.0
_ANSWER_BYTES_MAX: Final = 4_096
_PORT_MAX: Final = 65_535


class Worker(NamedTuple):
    """What the health port of `streamq run` answered."""

    status: int
    said: str


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=int,
        help="of `streamq run --health-port` on this machine (default: the setting)",
    )
    parser.add_argument(
        "--ready",
        action="store_true",
        help="ask whether it takes jobs (/readyz) rather than whether it lives (/livez)",
    )


def run(args: Namespace, console: Console) -> int:
    try:
        port = args.port if args.port is not None else _port_set(args)
        return _ask_worker(port, args.ready, console) if port else _ask_redis(args, console)
    except StreamqError as error:
        # Settings that cannot be read are no other trouble than a Redis that is away.
        return _unwell(console, str(error))


def _port_set(args: Namespace) -> int | None:
    config = Path(args.config) if args.config else None
    said = look_up("health_port", os.environ, Path.cwd(), config)
    if said is None or said.value == "none":
        return None
    if not str(said.value).isdigit() or not int(str(said.value)) <= _PORT_MAX:
        why = f"give a port, 0 to {_PORT_MAX}."
        raise InvalidSetting("health_port", said.value, named(said.origin), why)
    return int(str(said.value)) or None


def _ask_worker(port: int, ready: bool, console: Console) -> int:
    path = "/readyz" if ready else "/livez"
    began = time.monotonic()
    try:
        worker = _get(port, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        return _unwell(console, f"no worker answers at 127.0.0.1:{port}{path}: {reason.lower()}")
    if worker.status != 200:
        return _unwell(console, f"worker at 127.0.0.1:{port}{path}: {worker.status} {worker.said}")
    ms = (time.monotonic() - began) * 1_000
    console.record({"status": "healthy", "port": port, "path": path, "latency_ms": round(ms, 2)})
    console.line(f"healthy: worker at 127.0.0.1:{port}{path} in {ms:.1f} ms")
    return Exit.OK


def _get(port: int, path: str) -> Worker:
    """Raises OSError, and ValueError for what is no HTTP."""
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as link:
        link.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while len(answer) < _ANSWER_BYTES_MAX and (part := link.recv(_ANSWER_BYTES_MAX)):
                answer += part
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    version, _, rest = head.partition(" ")
    if not version.startswith("HTTP/") or not rest[:3].isdigit():
        raise ValueError("what answers there speaks no HTTP")
    said = body.strip().splitlines()
    return Worker(int(rest[:3]), said[0] if said else "")


def _ask_redis(args: Namespace, console: Console) -> int:
    answer = first_that_answers(places_of(args), LIMIT_S)
    where = shown(answer.place)
    console.record({"status": "healthy", "redis": where, "latency_ms": round(answer.ms, 2)})
    console.line(f"healthy: Redis at {where} in {answer.ms:.1f} ms")
    return Exit.OK


def _unwell(console: Console, why: str) -> int:
    """Always 1: a probe knows well and unwell, and nothing between."""
    console.record({"status": "unhealthy", "why": why})
    if not console.as_json:
        console.failure(f"unhealthy: {why}", {})
    return Exit.FAILED


HEALTH = Command(
    usage="",
    about="""\
Asks the health port of the worker on this machine if one is set, else Redis by
a PING. Ends with 0 if all is well and with 1 if not, within two seconds.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq health", "in a Dockerfile:  HEALTHCHECK CMD streamq health"),
        Example("streamq health --port 9464 --ready", "does the worker here take jobs?"),
    ],
)
