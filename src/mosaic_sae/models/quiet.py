"""Keep transformers from writing to the terminal."""

from __future__ import annotations


def quiet_transformers() -> None:
    """Silence transformers' progress bars and its report on the unused head; our own progress says what goes on."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
