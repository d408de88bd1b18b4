"""Nothing is lost and nothing counted twice: real processes, killed, starved and cut off.

Short forms run with the other tests; `make soak` sets SOAK=1 and runs them long.
"""
