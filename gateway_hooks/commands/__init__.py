"""One module a command; each holds one click command named ``command`` and is imported only when it is asked for."""
