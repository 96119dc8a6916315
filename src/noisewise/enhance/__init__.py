"""Enhancers: networks that take noise away, from waves before an upstream or from frames after."""
