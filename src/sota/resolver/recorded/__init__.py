"""Recorded resolutions: what a resolve decided, frozen under an id that its caller chose, to be shown years later."""
