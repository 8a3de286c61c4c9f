"""What a call may ask of an engine: parameters within bounds, media that the gateway has seen."""
