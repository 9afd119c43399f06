"""What all views share: colours, templates, formats of numbers."""
