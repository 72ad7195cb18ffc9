"""What adapters share: from raw text to clicks, what they led to and what came before."""
