"""The command ``mosaic``: one file per verb. What is heavy is imported inside the functions."""
