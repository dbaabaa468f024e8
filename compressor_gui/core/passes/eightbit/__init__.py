"""The classic 8-bit graph of TensorFlow 1.x's ``quantize_graph --mode=eightbit``, the picture that people know.

``kernels`` says which float operation has which 8-bit kernel, and where that kernel can't stand in; ``constants`` is
the arithmetic of MIN_FIRST; ``plan`` decides for one graph what becomes 8-bit; ``rewrite`` makes the nodes.
"""
