"""What other tools keep on this machine: their listings of files, and where the bytes are."""
