"""Razorpay as the sandbox speaks it."""
