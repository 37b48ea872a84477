"""Which vehicles and which Cores are there, and what to do when a vehicle and Core know different things."""
