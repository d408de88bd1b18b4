"""Where the pages' style sheets and scripts are found in production."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Collected files by the names with their hashes; before `collectstatic` has run, by their plain names.

    A page without its looks tells more than an error on every page.
    """

    def stored_name(self, name: str) -> str:
        return str(super().stored_name(name)) if self.hashed_files else name
