"""The sandbox server: Stripe's and Razorpay's dialects over HTTP on loopback, with its own books.

It shares no code with the ledger and imports nothing of it: what both misunderstood alike, no test
would find.
"""
