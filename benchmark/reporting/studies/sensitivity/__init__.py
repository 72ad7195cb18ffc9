"""Every method in every setting."""
