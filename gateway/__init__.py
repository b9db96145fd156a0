"""How the world asks: HTTP and the `loop` command."""
