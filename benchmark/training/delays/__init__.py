"""Delayed feedback: when a click is trained on, and what is known of its conversion by then."""
