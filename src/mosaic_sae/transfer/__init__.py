"""Transfer: what a classifier trained on one domain (a language, or texts or images) gives on another, and which latents carry it."""
