"""Pages of the documentation that are generated from methods and datasets."""
