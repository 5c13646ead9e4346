"""``python -m serialformer``: the command line."""

from serialformer.cli.main import main

main()
