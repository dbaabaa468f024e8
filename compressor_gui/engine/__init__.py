"""The only importer of TensorFlow: a process of its own, ``python -m compressor_gui.engine``."""
