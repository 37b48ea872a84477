"""Recorded resolutions: the result of a resolve, frozen under the caller's id, to be shown years later."""
