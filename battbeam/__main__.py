"""This file is where ``python -m battbeam`` becomes the command line."""

from battbeam.cli import main

main()
