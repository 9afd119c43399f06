"""The model that is distilled, and how it is asked."""
