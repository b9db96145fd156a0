"""How we prove it: following, rebuilding and explaining the log."""
