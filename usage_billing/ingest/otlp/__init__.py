"""Spans and logs of other programs, by the OpenTelemetry protocol over HTTP (docs/opentelemetry.md)."""
