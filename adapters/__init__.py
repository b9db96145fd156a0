"""How it runs: one vendor per file."""
