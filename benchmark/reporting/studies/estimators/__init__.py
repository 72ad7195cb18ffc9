"""How well estimators tell the error of predictions over all impressions from clicks alone."""
