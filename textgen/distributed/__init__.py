"""One model trained by several machines: who they are, what they agree on, what they tell."""
