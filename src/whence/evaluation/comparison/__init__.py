"""Methods compared on the same questions."""
