"""Exact, seeded corruption of clips; each module is usable alone.

Elementary functions on tensors: ``level``, ``mix``, ``loop``, ``room``, ``gain``; on arrays:
``codec``, ``generate``. Noise and rooms come from ``sources``; ``condition`` names what is done
to a clip and ``corrupt`` does it.
"""
