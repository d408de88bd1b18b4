"""Spans and logs of other programs, by OpenTelemetry's protocol over HTTP (OTLP). docs/opentelemetry.md is for users."""
