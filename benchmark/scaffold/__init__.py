"""First versions of plugins: what new-method and new-dataset write."""
