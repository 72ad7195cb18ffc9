"""Network modules that several methods share."""
