from django.db import models
from oscar.apps.customer.abstract_models import AbstractUser


class User(AbstractUser):
    likes_tea = models.BooleanField(default=False)
