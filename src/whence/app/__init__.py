"""App: command line, pages, terminal. Computes nothing that a room below could."""
