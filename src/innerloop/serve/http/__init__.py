"""Public names of `innerloop.serve.http`, of what lives in `innerloop.service` today."""
