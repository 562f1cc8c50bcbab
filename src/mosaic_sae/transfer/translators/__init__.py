"""Translators: a local model, an OpenAI-compatible endpoint, a table that exists already."""

from __future__ import annotations

from mosaic_sae.config.translation import EndpointTranslator, LocalTranslator, TableTranslator
from mosaic_sae.transfer.translators.base import Translator


def make_translator(config: LocalTranslator | EndpointTranslator | TableTranslator) -> Translator:
    """Make the translator of a config block; nothing is loaded or asked yet, but a table is read."""
    if isinstance(config, LocalTranslator):
        from mosaic_sae.transfer.translators.local import LocalModel

        return LocalModel(config)
    if isinstance(config, EndpointTranslator):
        from mosaic_sae.transfer.translators.endpoint import ChatTranslator

        return ChatTranslator(config)
    from mosaic_sae.transfer.translators.table import LookUp

    return LookUp(config)
