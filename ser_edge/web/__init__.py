"""A page and an HTTP service: any browser or program in the house can ask for emotions."""
