"""Token ids -> a trained model."""
