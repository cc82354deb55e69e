"""Ground floor: the record of a handoff and its law. Imports nothing of the other floors."""
