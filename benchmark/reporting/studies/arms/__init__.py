"""What randomised arms show, and how far predictions agree with it."""
