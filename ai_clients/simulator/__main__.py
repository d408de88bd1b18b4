"""`python -m ai_clients.simulator [--port N] [--host 127.0.0.1]`: the simulator as a process of its own."""

import argparse

from ai_clients.simulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ai_clients.simulator",
        description="Serve the OpenAI and Anthropic wire formats on loopback until SIGTERM or SIGINT.",
    )
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0, the default, takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options = parser.parse_args()
    try:
        serve(port=options.port, host=options.host)
    except OSError as error:
        parser.exit(1, f"Cannot listen on {options.host}:{options.port}: {error}. Choose another --port.\n")


if __name__ == "__main__":
    main()
