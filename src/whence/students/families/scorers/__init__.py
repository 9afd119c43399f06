"""How each stored kind decides, with NumPy alone: one function ``scorer`` in one file a kind."""
