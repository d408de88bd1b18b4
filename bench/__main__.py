"""`make bench`: the figures of this project, measured here and now."""

import os
import platform
import sys
import tempfile
from pathlib import Path


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"sqlite:///{directory}/db.sqlite3",
            "USAGE_OUTBOX_PATH": f"{directory}/outbox.sqlite3",
            "USAGE_DRAIN": "off",
        }
        import django

        django.setup()
        from bench import recording

        rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
        lines = [
            f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; {rounds} rounds",
            f"{'recording adds to':32} {'bare call':>10} {'p50':>8} {'p99':>8} {'CPU':>8}   (microseconds)",
        ]
        for overhead in recording.measure(rounds):
            figures = (overhead.added_p50_us, overhead.added_p99_us, overhead.added_cpu_us)
            lines.append(
                f"{overhead.what:32} {overhead.bare_us:10.0f} " + " ".join(f"{figure:+8.0f}" for figure in figures)
            )
    report = "\n".join(lines)
    print(report)
    results = Path("var/bench.txt")
    results.parent.mkdir(exist_ok=True)
    results.write_text(report + "\n")


if __name__ == "__main__":
    main()
