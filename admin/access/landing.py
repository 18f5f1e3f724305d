"""Where somebody goes on after a login: a path of this site, whatever the link said."""

import re
from typing import Final

NEXT_CHARS_MAX: Final = 2_048
HOME: Final = "/"

# No two slashes, nor a \, which browsers take for one; nor tabs and newlines, which they take out
# before they look. What is not ASCII is escaped by whoever makes such a path.
_PATH: Final = re.compile(r"(?!.*//)/[!-\[\]-~]{0,2047}")


def landing(wanted: str, home: str = HOME) -> str:
    """The path that was wanted if it can only be one of ours, else `home`."""
    return wanted if len(wanted) <= NEXT_CHARS_MAX and _PATH.fullmatch(wanted) else home
