"""The hosted page: where a customer pays an order or a checkout session."""
