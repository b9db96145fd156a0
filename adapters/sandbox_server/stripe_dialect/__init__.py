"""Stripe as the sandbox speaks it."""
