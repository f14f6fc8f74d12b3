"""Publishes events beside rows, as a service written in Python does. Needs psycopg."""

import sys
from datetime import datetime, timezone

import psycopg

connection = psycopg.connect(sys.argv[1], autocommit=True)


def publish(cents, sku, arguments, values):
    """A row and its event in one transaction; returns the version that the event was given."""
    with connection.transaction():
        connection.execute("INSERT INTO price VALUES (%s, %s)", (sku, cents))
        return connection.execute(f"SELECT tidings.publish({arguments})", values).fetchone()[0]


def refused(arguments, values):
    try:
        publish(0, "refused", arguments, values)
    except psycopg.Error as error:
        print(error.sqlstate, error.diag.message_primary)


print("version", publish(1999, "größe/商品 1", "%s, %s, %s, effectivefrom => %s, traceparent => %s", (
    "pricing.BasePriceChanged", "price/größe/商品 1", '{"cents": 1999,  "name":"größe \\u5546"}',
    datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc),
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")))

with connection.transaction():
    connection.execute("INSERT INTO price VALUES ('rolled back', 1)")
    connection.execute("SELECT tidings.publish('pricing.BasePriceChanged', 'price/rolled back', '1')")
    raise psycopg.Rollback()

print("version", publish(2000, "image", "%s, %s, version => %s, body => %s, contenttype => %s", (
    "pricing.LabelPrinted", "label/1", 41, bytes(range(256)), "image/png")))
print("version", publish(2001, "gone", "%s, %s", ("pricing.LabelGone", "label/1")))

refused("%s, %s", ("pricing.BasePriceChanged", "price"))
refused("%s, %s, %s", ("pricing.BasePriceChanged", "price/1", "{"))
refused("%s, %s, version => %s", ("pricing.LabelPrinted", "label/1", 42))
