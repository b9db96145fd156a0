"""PostgreSQL and NATS as children of our own process, for a machine that has neither."""
