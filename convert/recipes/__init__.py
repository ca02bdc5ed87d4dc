"""Finding out by trial with which front end a model was trained."""
