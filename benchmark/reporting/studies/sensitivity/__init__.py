"""Every method in every world."""
