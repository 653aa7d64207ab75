"""Column types: what a table knows about the cells of a column."""
