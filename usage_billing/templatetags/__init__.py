"""What the pages' templates can do beyond Django's own tags."""
