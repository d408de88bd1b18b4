"""Usage that other programs report: JSON events, OpenTelemetry, files. All of it goes through the outbox."""
