"""Third-party routers as policies, whole and unmodified; each library is imported where it is used."""
