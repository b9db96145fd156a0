"""The verbs of the `loop` command, one per file; `gateway/cli.py` lists them."""
