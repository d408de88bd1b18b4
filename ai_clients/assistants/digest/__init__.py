"""The weekly e-mail to owners, one file a step: week → figures → summary, chart → e-mail → delivery → job."""
