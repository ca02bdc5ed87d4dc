"""A search for the hyper-parameters of a training run."""
