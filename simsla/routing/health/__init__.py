"""Whether a deployment may be called."""
