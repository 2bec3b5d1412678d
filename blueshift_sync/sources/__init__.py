"""The site's side: how its models become customers and list memberships."""

from .base import CustomerSource, MembershipSource
from .registration import register
from .values import to_json

__all__ = ["CustomerSource", "MembershipSource", "register", "to_json"]
