"""The hyperparameter search: many short trainings, each with other settings."""
