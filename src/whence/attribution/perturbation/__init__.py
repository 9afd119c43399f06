"""Methods that ask the model about texts with features absent."""
