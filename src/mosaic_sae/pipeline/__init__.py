"""The order of the steps, and the glue between them."""
