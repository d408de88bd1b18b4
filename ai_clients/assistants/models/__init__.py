"""One model a file; import them from here."""

from ai_clients.assistants.models.content_piece import ContentPiece
from ai_clients.assistants.models.digest_delivery import DigestDelivery
from ai_clients.assistants.models.digest_subscription import DigestSubscription
from ai_clients.assistants.models.message import Message
from ai_clients.assistants.models.participant import Participant

__all__ = ["ContentPiece", "DigestDelivery", "DigestSubscription", "Message", "Participant"]
