"""Which tier a request that names none should get."""
