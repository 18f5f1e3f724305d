"""`python -m streamq` is the same as `streamq`."""

import sys

from streamq.cli import main

if __name__ == "__main__":
    sys.exit(main())
