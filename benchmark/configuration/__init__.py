"""Reading of YAML files: values with the lines where they stand, and mistakes in one sentence."""
