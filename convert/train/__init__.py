"""From labelled clips to the bundled models."""
