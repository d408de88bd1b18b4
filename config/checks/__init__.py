"""System checks of the service: how it is reached, which secrets and which e-mail it has."""
