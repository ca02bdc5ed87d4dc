"""Jobs of the service: the processes that do them, and what waits for them."""
