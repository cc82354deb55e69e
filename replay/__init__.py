"""Middle floor: what the record says. Reads only, decides purely, and needs no gateway installed."""
