"""The service: `innerloop serve`, from a request to the disk."""
