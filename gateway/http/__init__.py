"""The HTTP face: dialects, operations endpoints and pages, thin enough to hold nothing that matters when it dies."""
