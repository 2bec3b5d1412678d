"""The shape of what `status/` answers, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from .problems import ProblemSerializer
from .serializers import IsoDateTimeField


class NumberSerializer(serializers.Serializer[Any]):
    """How many: exactly now, or what was counted at `counted_at`, or, without that, more than `number`."""

    number = serializers.IntegerField()
    is_exact = serializers.BooleanField()
    counted_at = IsoDateTimeField(allow_null=True)


class RecordsSerializer(serializers.Serializer[Any]):
    """Records of one kind, by where they stand."""

    in_step = NumberSerializer()
    waiting = NumberSerializer()
    parked = NumberSerializer()
    sending = NumberSerializer()
    failed = NumberSerializer()
    excluded = NumberSerializer()
    oldest_waits_since = IsoDateTimeField(allow_null=True)


class TroubleSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    sentence = serializers.CharField()


class SendingSerializer(serializers.Serializer[Any]):
    """Whether anything is sent: “on”, or why not."""

    state = serializers.CharField()
    since = IsoDateTimeField(allow_null=True)
    reason = serializers.CharField(allow_null=True)


class WorkersSerializer(serializers.Serializer[Any]):
    alive = serializers.IntegerField()
    busy = serializers.IntegerField()
    are_suspended = serializers.BooleanField()
    paused_seconds = serializers.FloatField()
    failures = serializers.IntegerField()


class CallsSerializer(serializers.Serializer[Any]):
    last_minute = serializers.IntegerField()
    allowed_per_minute = serializers.FloatField(allow_null=True)


class StatusSerializer(serializers.Serializer[Any]):
    """How everything stands. Sums first; below `records` the same for each kind of record that the user may see."""

    taken_at = IsoDateTimeField()
    ok = serializers.BooleanField()
    in_step = serializers.IntegerField()
    waiting = serializers.IntegerField()
    parked = serializers.IntegerField()
    being_sent = serializers.IntegerField()
    failed = serializers.IntegerField()
    excluded = serializers.IntegerField()
    is_exact = serializers.BooleanField()
    oldest_waiting_seconds = serializers.FloatField(allow_null=True)
    sweep_age_seconds = serializers.FloatField(allow_null=True)
    problems = TroubleSerializer(many=True)
    summary = serializers.ListField(child=serializers.CharField())
    records = serializers.DictField(child=RecordsSerializer())
    removals_for_approval = NumberSerializer()
    sending = SendingSerializer()
    workers = WorkersSerializer(allow_null=True)
    swept_at = IsoDateTimeField(allow_null=True)
    calls = CallsSerializer()


class BeyondThresholdSerializer(StatusSerializer, ProblemSerializer):
    """A problem, with all that the status says; without that, where the database can't be asked."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in StatusSerializer().get_fields():
            fields[name].required = False
        return fields
