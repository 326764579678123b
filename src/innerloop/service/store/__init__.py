"""What a service knows, durable in one SQLite file; it knows nothing of HTTP."""
