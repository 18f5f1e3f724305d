"""Puts the peers into .bench/, each apart: `python -m benchmarks.peers.install [NAME ...]`.

A Python peer gets an environment of its own from requirements/NAME.txt, every package by hash; the
one on Node from node/package-lock.json. What is there already, from the same list, stays.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.machine import ROOT
from benchmarks.peers.catalogue import LIMIT, PEERS, STREAMQ, Peer

FOLDER: Final = ROOT / ".bench"
HERE: Final = Path(__file__).parent
LISTS: Final = HERE / "requirements"
NODE_LISTS: Final = (HERE / "node" / "package.json", HERE / "node" / "package-lock.json")
NODE_AT_LEAST: Final = 18
INSTALL_LIMIT_S: Final = 900.0
ASK_LIMIT_S: Final = 10.0
_READY: Final = ".ready"


class InstallFault(Exception):
    """A peer cannot be put here; the message says why."""


def folder_of(peer: Peer) -> Path:
    """Where it lies, or would."""
    return FOLDER / peer.key


def python_of(peer: Peer) -> Path:
    """The interpreter that runs it: streamq's own for streamq and the bare script."""
    if peer in (STREAMQ, LIMIT):
        return Path(sys.executable)
    return folder_of(peer) / "bin" / "python"


def lists_of(peer: Peer) -> Sequence[Path]:
    """The files that pin its packages."""
    return NODE_LISTS if peer.on_node else (LISTS / f"{peer.key}.txt",)


def lacking(peer: Peer) -> str | None:
    """Why it cannot run here; None if it can."""
    if peer in (STREAMQ, LIMIT):
        return None
    if peer.on_node and (said := _node_fault()) is not None:
        return said
    if not _is_ready(peer):
        return "not installed as pinned:  make bench-peers"
    return None


def version_of(peer: Peer) -> str:
    """The pinned version of its package, which is the installed one; streamq's and redis' own."""
    if peer in (STREAMQ, LIMIT):
        ask = f"from importlib.metadata import version; print(version({peer.package!r}))"
        return _said(sys.executable, "-c", ask)
    text = lists_of(peer)[0].read_text()
    pin = rf'"{peer.package}": "([^"]+)"' if peer.on_node else rf"(?m)^{peer.package}==(\S+)"
    found = re.search(pin, text)
    if found is None:
        raise InstallFault(f"{lists_of(peer)[0].name} pins no {peer.package}")
    return found[1]


def install(peer: Peer) -> None:
    """Raises InstallFault if it cannot be had here."""
    if peer.on_node and (said := _node_fault()) is not None:
        raise InstallFault(said)
    folder = folder_of(peer)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if peer.on_node:
        for path in NODE_LISTS:
            shutil.copy(path, folder)
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", cwd=folder)
    else:
        _run(sys.executable, "-m", "venv", str(folder), cwd=ROOT)
        _run(
            str(python_of(peer)), "-m", "pip", "install", "-qq", "--disable-pip-version-check",
            "--require-hashes", "-r", str(lists_of(peer)[0]), cwd=ROOT,
        )  # fmt: skip
    (folder / _READY).write_bytes(_pins(peer))


def _is_ready(peer: Peer) -> bool:
    try:
        return (folder_of(peer) / _READY).read_bytes() == _pins(peer)
    except OSError:
        return False


def _pins(peer: Peer) -> bytes:
    return b"".join(path.read_bytes() for path in lists_of(peer))


def _node_fault() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return f"needs Node {NODE_AT_LEAST} or newer with npm, and none is on PATH"
    said = _said("node", "--version")
    if int(said.removeprefix("v").partition(".")[0]) < NODE_AT_LEAST:
        return f"needs Node {NODE_AT_LEAST} or newer, and the one on PATH is {said}"
    return None


def _said(*words: str) -> str:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=ASK_LIMIT_S, check=True
    ).stdout.strip()


def _run(*words: str, cwd: Path) -> None:
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
    )
    if done.returncode:
        raise InstallFault(f"{Path(words[0]).name} ended with {done.returncode}: {done.stderr}")


def main(names: Sequence[str]) -> int:
    """0 if every peer asked for is there; the others are named with the reason."""
    missed = 0
    for peer in PEERS:
        if (names and peer.key not in names) or lacking(peer) is None:
            continue
        print(f"installing {peer.name} {version_of(peer)}", flush=True)
        try:
            install(peer)
        except (InstallFault, OSError, subprocess.SubprocessError) as error:
            print(f"  not installed: {error}", file=sys.stderr)
            missed += 1
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
