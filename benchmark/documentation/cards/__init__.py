"""What a reader needs to know of each log before trusting a number on it."""
