"""The card processors: one vendor, one file, no inheritance between them."""
