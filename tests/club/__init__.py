"""A site of its own: a club whose users have no user names, and whose members, seats and visitors are customers."""
