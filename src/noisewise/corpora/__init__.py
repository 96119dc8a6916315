"""Corpora: one file each, all opened by `open_corpus`."""
