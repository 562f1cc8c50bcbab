"""The Dash app over finished runs. It imports no torch."""
