"""What a model is and what can be done to it: numpy, networkx and TensorBoard's protos. No Qt, no TensorFlow."""
