"""From a trained Keras model to one verified `.tflite` for ser-edge: runs on a workstation."""
