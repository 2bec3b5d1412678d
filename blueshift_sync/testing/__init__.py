"""For a site's own tests: a simulator of Blueshift's API on a real socket, and a pytest plugin.

Nothing is imported here: pytest loads the plugin in every environment in which this package is installed.
"""
