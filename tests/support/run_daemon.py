"""`python -m tests.support.run_daemon CONFIG`: a daemon, as the command line would start it."""

import asyncio
import sys

import msgspec

from streamq.errors import StreamqError
from streamq.run.daemon import DaemonConfig, run_daemon


def main(config: str) -> int:
    try:
        return asyncio.run(run_daemon(msgspec.json.decode(config, type=DaemonConfig)))
    except StreamqError as error:
        print(error.cli_text, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
