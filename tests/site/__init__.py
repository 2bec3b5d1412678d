"""A site with models of every kind that a source may have to cope with. Its sources are registered by the tests."""
