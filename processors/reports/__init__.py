"""Reports: what happened in a period, read once and written as PDF, XLSX or CSV."""

from importlib.util import find_spec

from streamq.errors import MissingExtra

if find_spec("xlsxwriter") is None:
    raise MissingExtra("workbooks", "xlsxwriter", "processors")
