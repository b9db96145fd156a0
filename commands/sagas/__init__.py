"""The process managers: they look at a stream and issue the next command."""
