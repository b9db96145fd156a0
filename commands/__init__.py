"""What may happen: one verb per file, and the Protocols that the verbs need."""
