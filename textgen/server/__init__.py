"""The sampling service: `python -m textgen serve`. It needs FastAPI, uvicorn, prometheus-client."""
