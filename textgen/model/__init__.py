"""The network, described once and built twice: in Keras to train, in NumPy to generate."""
