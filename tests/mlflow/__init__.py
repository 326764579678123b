"""Tasks as models of MLflow."""
