"""Tasks over HTTP, with a page: `innerloop serve`."""
