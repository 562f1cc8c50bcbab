"""MOSAIC: classify texts and images with sparse autoencoder features, and see why."""

__version__ = "0.1.0"
