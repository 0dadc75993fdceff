"""The report of a benchmark: one HTML page, one Markdown file, two CSV files."""
