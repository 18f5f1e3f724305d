"""The handlers of the routes, one noun a file. What may be called by whom stands in routes.py."""
