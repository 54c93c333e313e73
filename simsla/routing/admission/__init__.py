"""Admission: who waits before a request is tried, in which order, and who is refused."""
