"""Methods that read or change attention layers."""
