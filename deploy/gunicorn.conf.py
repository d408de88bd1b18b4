"""Settings of the web server, for systemd and the image. The address is set there."""

worker_class = "config.buffering_worker.BufferingWorker"
workers = 4
threads = 8
# Connections that a worker keeps, most of them idle. Each takes up to three files (see LimitNOFILE in the unit).
worker_connections = 1000
preload_app = True
max_requests = 10_000
max_requests_jitter = 1_000
graceful_timeout = 30
# Nothing uses the control socket.
control_socket_disable = True
