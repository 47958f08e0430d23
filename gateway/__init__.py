"""The gateway: admits work by priority and dispatches it; its HTTP face and command line live below it."""

VERSION = "0.1.0"
