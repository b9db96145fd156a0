"""One file per group of routes; each lists its handlers in `ROUTES` for `gateway/app.py`."""
