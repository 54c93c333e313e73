"""Streaming: what is decided about answers that arrive in chunks."""
