"""The end of a vehicle in our registers: retired, its history kept; or erased, its history kept under a pseudonym."""
