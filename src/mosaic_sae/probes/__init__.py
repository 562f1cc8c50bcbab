"""Explainable classifiers on pooled features, and the baselines and controls they are read against."""
