"""Profiles: a few labelled clips adapt a model to a voice, a room and emotions of one's own."""
