"""Corpora: one file each, all opened by `open_corpus`."""

from noisewise.corpora.registry import open_corpus

__all__ = ["open_corpus"]
