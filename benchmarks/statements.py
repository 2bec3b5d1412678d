"""SQL statements, short enough for a table."""

from __future__ import annotations

import re

LONGEST = 110


def short(sql: str) -> str:
    """What a statement does, to which table, by which condition; without values and with lists cut."""
    sql = sql.replace("blueshift_sync_", "").replace('"', "")
    sql = re.sub(r"'[^']*'(?:::\w+)?|(?<![\w.])\d+(?![\w.])|%s", "?", sql)
    verb = sql.split(maxsplit=1)[0]
    table = re.search(r"(?:FROM|INTO|UPDATE) ([a-z_]+)", sql)
    condition = re.search(r" WHERE (.*?)(?: ORDER BY | RETURNING |$)", sql, re.DOTALL)
    lock = "FOR UPDATE" if "FOR UPDATE" in sql else ""
    parts = (verb, table[1] if table else "", _short(condition[1]) if condition else "")
    return " ".join(filter(None, [" ".join(filter(None, parts))[:LONGEST], lock]))


def _short(condition: str) -> str:
    without_lists = re.sub(r"\(\?(?:, \?)*\)", "(…)", condition)
    return re.sub(r"\b[a-z_]+\.([a-z_]+)", r"\1", without_lists)
