"""Transfer: what a classifier trained on one language gives on another, and which latents carry it."""
