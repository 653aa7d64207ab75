"""`python -m artfs` is `artfs`."""

from artfs.cli.main import main

main()
