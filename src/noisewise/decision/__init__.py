"""From an embedding to an answer: neighbours, prototypes or a head, and a rejection threshold."""
