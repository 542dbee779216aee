"""The HTTP API, one file an endpoint. Each opens a `Call`, reads a body, routes, answers."""
