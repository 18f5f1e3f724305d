"""Invoices: made of a payment, read with all that stands on one, and drawn as a PDF with PIX."""
