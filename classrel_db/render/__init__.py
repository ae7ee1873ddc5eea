"""From rows to what a person or a program reads: tables, csv, json, markdown, parquet, progress."""

from classrel_db.render.formats import FORMATS, Format, emit, format_of

__all__ = ["FORMATS", "Format", "emit", "format_of"]
