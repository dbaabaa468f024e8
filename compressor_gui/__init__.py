"""Compressor: opens a TensorFlow model, shows it, and makes it small and fast under the user's hand.

The map: ``core`` is what a model is and what can be done to it (numpy and networkx; no Qt, no TensorFlow); ``engine``
is the only importer of TensorFlow and runs as a process of its own; ``gui`` is the only importer of PySide6; ``cli`` is
the same work without a window. Imports run one way: ``gui -> core <- engine`` and ``cli -> core``.
"""

__version__ = "0.1.0"
