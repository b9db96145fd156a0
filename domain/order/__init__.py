"""The order aggregate: state and its fold, commands and their rules, and what is due next."""
