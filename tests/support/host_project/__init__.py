"""A project that installs `usage_billing` beside its own things: plain admin, own REST_FRAMEWORK, no axes, no theme."""
