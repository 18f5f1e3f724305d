"""`python -m streamq.testing sim`: the proofs that anyone can run."""

import sys
from importlib import import_module
from typing import Final

PROOFS: Final = {"sim": "streamq.testing.sim.command"}
"""The word on the command line, and the module whose `main` takes the rest of it."""


def main(argv: list[str]) -> int:
    """Exit status of the proof; 2 if there is none of that name."""
    if not argv or argv[0] not in PROOFS:
        print(f"usage: python -m streamq.testing {{{'|'.join(PROOFS)}}} …", file=sys.stderr)
        return 2
    status: int = import_module(PROOFS[argv[0]]).main(argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
