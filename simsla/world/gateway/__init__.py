"""The gateway's pods, and the autoscaler that keeps their number."""
