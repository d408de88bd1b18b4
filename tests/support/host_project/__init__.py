"""A project that installs `usage_billing`, with plain admin, its own REST_FRAMEWORK, no axes and no theme."""
