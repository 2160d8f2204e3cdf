"""From a trained model to text.

`generator` is the way in. It writes `texts` in a `batch`, whose next tokens `sampling` draws or a
search finds; `mixture` makes several models act like one. Nothing here imports TensorFlow.
"""
