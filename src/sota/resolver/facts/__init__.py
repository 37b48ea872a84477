"""Facts about the fleet from Core (B5-2): installation results, answers of vehicles, provisioning."""
