"""A real Hermes gateway behind the port: the only package that touches Hermes' internals."""
