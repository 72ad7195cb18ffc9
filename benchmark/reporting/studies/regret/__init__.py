"""What a selection criterion costs."""
