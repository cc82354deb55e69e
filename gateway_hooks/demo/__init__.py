"""What stands in for the world outside the machine, the load that plays against it, and the judge."""
