"""Addresses at which other programs report calls. OpenTelemetry's exporters append these paths to their base URL."""

from django.urls import re_path

from usage_billing.ingest.otlp import views as otlp

urlpatterns = [
    re_path(r"^v1/traces/?$", otlp.receive_traces, name="otlp-traces"),
    re_path(r"^v1/logs/?$", otlp.receive_logs, name="otlp-logs"),
    re_path(r"^v1/metrics/?$", otlp.receive_metrics, name="otlp-metrics"),
]
