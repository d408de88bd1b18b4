"""A model's or a person's words, made fit for a field, a header, a line."""


def one_line(text: str, longest: int) -> str:
    """Without line breaks, control characters (PostgreSQL refuses some), double spaces; at most `longest` letters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"
