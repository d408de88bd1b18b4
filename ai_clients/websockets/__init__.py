"""Records the responses that come over the OpenAI SDK's websockets, which go round its HTTP client.

`hooks` observe a connection → `calls` get its messages → `responses` and `sessions` keep what is under way → `records`.
"""
