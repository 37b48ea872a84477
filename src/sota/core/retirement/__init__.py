"""The end of a vehicle in our registers: retired, with its history; or erased, with its history under a pseudonym."""
