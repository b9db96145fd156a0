"""What we show: one disposable read model per file."""
