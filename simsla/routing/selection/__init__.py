"""Who is tried, in which order."""
