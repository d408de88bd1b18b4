"""How the web server runs, with systemd and in the image alike; only the address is said elsewhere."""

worker_class = "config.buffering_worker.BufferingWorker"
workers = 4
threads = 8
# Connections that a worker keeps, most of them idle. Each takes up to three files: LimitNOFILE of the unit.
worker_connections = 1000
preload_app = True
max_requests = 10_000
max_requests_jitter = 1_000
graceful_timeout = 30
# Nothing asks the server by it.
control_socket_disable = True
