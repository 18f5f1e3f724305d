"""What PDFs are made of: letters that hold every Latin name, ink in the agency's colour, sheets.

`text` alone may be imported at the start: reportlab takes a fifth of a second, so who draws imports
the rest when it is time to.
"""

from importlib.util import find_spec

from streamq.errors import MissingExtra

if find_spec("reportlab") is None:
    raise MissingExtra("PDFs", "reportlab", "processors")
