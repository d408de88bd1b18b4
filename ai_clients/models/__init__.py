"""One model a file; import them from here."""

from ai_clients.models.content_piece import ContentPiece
from ai_clients.models.digest_delivery import DigestDelivery
from ai_clients.models.message import Message
from ai_clients.models.participant import Participant

__all__ = ["ContentPiece", "DigestDelivery", "Message", "Participant"]
