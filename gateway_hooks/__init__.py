"""Whatever touches a live process: the port, the manager, the gateways, the front door."""
