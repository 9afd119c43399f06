"""How an explanation changes when the text, the masker or the model does."""
