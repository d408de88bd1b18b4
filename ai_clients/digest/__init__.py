"""The weekly e-mail to an organisation's owners, one file a step: week → figures → summary, chart → e-mail → delivery."""
