"""Methods that evaluate the model on texts with features absent."""
