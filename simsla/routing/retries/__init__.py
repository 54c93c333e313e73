"""When to try again, after which delay, and how often in all."""
