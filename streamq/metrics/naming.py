"""How a metric of the application may be called, and its labels."""

import re
from typing import Final

from streamq.store.measures import OwnKind

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
LABELS_MAX: Final = 4

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,127}")
_LABEL: Final = re.compile(r"(?!__)(?!le$)[a-z_][a-z0-9_]{0,63}")
# What the library adds to a name, or Prometheus to a family's.
_ENDINGS: Final = ("_total", "_count", "_sum", "_bucket", "_created", "_info")


def why_not(name: str, what: OwnKind) -> str:
    """Why there can be no such metric; empty if there can."""
    if not _NAME.fullmatch(name):
        return "a name is made of small letters, digits and _"
    if what.kind == COUNTER:
        if not name.endswith("_total"):
            return "the name of a counter ends with _total"
    elif what.kind != GAUGE:
        return f"{what.kind} is no kind of metric"
    elif name.endswith(_ENDINGS):
        return f"the name of a gauge does not end with {' or '.join(_ENDINGS)}"
    if len(set(what.labels)) != len(what.labels) or len(what.labels) > LABELS_MAX:
        return f"a metric has at most {LABELS_MAX} labels, each once"
    if not all(map(_LABEL.fullmatch, what.labels)):
        return "a label is made of small letters, digits and _"
    return ""
