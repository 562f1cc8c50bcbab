"""Pages of the app: each module has a layout function and, where needed, callbacks."""
