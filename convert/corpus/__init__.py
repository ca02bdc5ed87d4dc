"""Labelled clips: indexes, augmentation, conditions of an evaluation."""
