"""The trust label: its checks, its grades, its summary."""
