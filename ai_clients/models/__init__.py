"""One model a file; import them from here."""

from ai_clients.models.content_piece import ContentPiece

__all__ = ["ContentPiece"]
