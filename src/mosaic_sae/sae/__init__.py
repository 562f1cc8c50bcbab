"""Sparse autoencoders: read, encode, decode, measure."""
