"""Which of the provider's endpoints a token may reach: not those that would open more than a call.

A session for a browser answers with a credential of the provider's own: what is done with it is neither recorded nor
bound by a budget. And the account behind the key of all organisations holds the files, batches and stored answers of
all of them: with it, a token of one organisation reaches only what leaves nothing there to read.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext as _

from ai_clients.proxy.errors import RefusedError

_CREDENTIALS = re.compile(
    r"/(realtime/(client_secrets|sessions|transcription_sessions|calls|translations/client_secrets)"
    r"|live/sessions|chatkit/sessions)(/.*)?"
)
_CALLS = re.compile(
    r"/(chat/completions|completions|responses|responses/(compact|input_tokens)|embeddings|moderations|decisions"
    r"|images/(generations|edits|variations)|audio/(transcriptions|translations|speech)"
    r"|messages|messages/count_tokens)/?"
)
_MODELS = re.compile(r"/models(/[^/]+)?/?")


def check(method: str, path: str, *, is_shared: bool) -> None:
    """Raise `RefusedError` for a request that may not pass. path: below the version, decoded.

    is_shared: whether a token of one organisation calls with the key of all of them.
    """
    if _CREDENTIALS.fullmatch(path):
        raise RefusedError(
            403,
            "session_not_passed",
            _("The proxy opens no sessions of the provider: their calls could not be recorded. Call the API itself."),
        )
    is_call = method == "POST" and _CALLS.fullmatch(path)
    if is_shared and not is_call and not (method == "GET" and _MODELS.fullmatch(path)):
        raise RefusedError(
            403,
            "shared_key",
            _(
                "With the key of all organisations, only calls of models pass: its account has files, batches and "
                "stored answers of others. Save a key of the organisation's own for this."
            ),
        )
