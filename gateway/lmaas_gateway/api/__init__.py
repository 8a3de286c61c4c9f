"""The only code that sees Starlette and the server: HTTP in, HTTP out."""
