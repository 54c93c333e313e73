"""Limits: how much may be asked of one deployment, each limit a `Health` part of its own."""
