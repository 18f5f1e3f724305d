"""Reports: what happened in a period, read once and written as PDF, XLSX or CSV."""
