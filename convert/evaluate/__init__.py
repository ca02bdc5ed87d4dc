"""How good a model is: predictions, metrics, reports and plots."""
