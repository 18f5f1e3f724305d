"""The outbox as pages for a browser: a list, and each mail as wide as a phone and as a desk."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from string import Template
from typing import Final
from urllib.parse import quote

import msgspec

from processors.clients.delivery import Letter
from processors.clients.mailbox import Mailbox

_STYLE: Final = """
body { margin: 0 auto; max-width: 1200px; padding: 24px; font: 15px/1.5 system-ui, sans-serif;
  color: #111827; background: #fff; }
h1 { font-size: 22px; } h2 { font-size: 15px; font-weight: 600; color: #4b5563; }
a { color: #1d4ed8; } table { border-collapse: collapse; width: 100%; }
td, th { padding: 8px 12px 8px 0; border-bottom: 1px solid #e5e7eb; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; color: #4b5563; white-space: nowrap; }
.views { display: flex; flex-wrap: wrap; gap: 24px; }
iframe { border: 1px solid #d1d5db; border-radius: 8px; height: 900px; max-width: 100%; }
pre { padding: 16px; background: #f9fafb; border: 1px solid #e5e7eb; white-space: pre-wrap;
  overflow-wrap: anywhere; }
"""
# Nothing of a mail may run or call: pictures are all that is fetched, as a mail reader would.
_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; frame-src 'self'">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
</body>
</html>
""")
_FRAME: Final = Template(
    '<div><h2>$name</h2><iframe title="$name" width="$width" sandbox="allow-popups"'
    ' srcdoc="$page"></iframe></div>'
)
_WIDTHS: Final = (("Phone", 360), ("Desk", 720))


class Entry(msgspec.Struct, frozen=True):
    """One mail of the list; `name` is that of its files, without what follows the dot."""

    name: str
    written_at: datetime
    to: str
    subject: str


def list_page(entries: Sequence[Entry]) -> str:
    """The newest mails, in the order given."""
    rows = "\n".join(
        f"<tr><td>{one.written_at:%Y-%m-%d %H:%M:%S}</td><td>{escape(one.to)}</td>"
        f'<td><a href="{_link(one.name)}.html">{escape(one.subject) or "(none)"}</a></td>'
        f'<td><a href="{_link(one.name)}.eml">.eml</a></td></tr>'
        for one in entries
    )
    head = "<tr><th>Written</th><th>To</th><th>Subject</th><th>File</th></tr>"
    return _page("Outbox", f"<h1>Outbox</h1>\n<table>\n{head}\n{rows}\n</table>")


def mail_page(letter: Letter) -> str:
    """One mail: its headers, its page at two widths, its text."""
    draft = letter.draft
    facts = {
        "From": _shown(draft.sender),
        "Reply-To": _shown(draft.reply_to) if draft.reply_to else "",
        "To": ", ".join(map(_shown, draft.recipients)),
        "Delivered to": ", ".join(letter.recipients),
        **letter.extras,
        "Attachments": ", ".join(
            f"{one.filename} ({len(one.data):,} bytes)" for one in draft.files
        ),
    }
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if value
    )
    frames = "\n".join(
        _FRAME.substitute(name=name, width=width, page=escape(draft.html))
        for name, width in _WIDTHS
    )
    body = (
        f'<p><a href="index.html">Outbox</a></p>\n<h1>{escape(draft.subject)}</h1>\n'
        f'<table>\n{rows}\n</table>\n<div class="views">\n{frames}\n</div>\n'
        f"<h2>Text</h2>\n<pre>{escape(draft.text)}</pre>"
    )
    return _page(draft.subject, body)


def _page(title: str, body: str) -> str:
    return _PAGE.substitute(title=escape(title), style=_STYLE, body=body)


def _link(name: str) -> str:
    # Of `invoice:1:email` a browser would take the beginning for a scheme.
    return f"./{quote(name)}"


def _shown(mailbox: Mailbox) -> str:
    return f"{mailbox.name} <{mailbox.address}>" if mailbox.name else mailbox.address
