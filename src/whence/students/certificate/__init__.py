"""What is measured of a student on held-out texts."""
