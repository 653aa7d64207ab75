"""What Table is made of: types of columns, keys, cells as JSON."""
