"""The demo: the shop, a worker, Redis and a simulated Blueshift, started together and stopped together."""
