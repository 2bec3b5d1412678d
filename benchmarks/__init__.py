"""What the app costs, each figure a ratio measured in one run on one machine. See README.md."""
