"""Somebody's trained model: recognized, read as untrusted input, rebuilt, ready to be called."""
