"""The sandbox bank: a card processor of our own that shares no code with the ledger."""
