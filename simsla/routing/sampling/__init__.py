"""Shares of the traffic that are looked at again: quality sampling and shadow traffic."""
