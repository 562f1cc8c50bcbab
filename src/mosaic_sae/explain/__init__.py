"""Evidence: what a latent fires on in the user's own data."""
