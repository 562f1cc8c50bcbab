"""Language models: found, tokenised, hooked."""
