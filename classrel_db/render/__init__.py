"""From rows to what a person or a program reads: tables, csv, json, markdown, parquet, progress."""
