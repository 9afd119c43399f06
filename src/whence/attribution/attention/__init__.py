"""Methods that follow, or change, what attention layers do."""
