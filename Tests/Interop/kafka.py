"""The other side of a test: reads or publishes with confluent-kafka what the library publishes or reads.

Usage: kafka.py read SERVERS TOPIC COUNT | kafka.py write SERVERS TOPIC

`read` prints each record as one line of JSON: key, value and headers as text, bytes that are no text in hexadecimal.
`write` reads such lines from the standard input and publishes them.
"""

import json
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer


def text(data):
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "hex:" + data.hex()


def data(text):
    if text is None:
        return None
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def read(servers, topic, count):
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": f"interop.{uuid.uuid4()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    deadline = time.monotonic() + 30
    while count > 0 and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None or message.error():
            continue
        headers = [[name, text(value)] for name, value in message.headers() or []]
        print(json.dumps({"key": text(message.key()), "value": text(message.value()), "headers": headers}))
        count -= 1
    consumer.close()
    return 0 if count == 0 else 1


def write(servers, topic):
    failures = []
    producer = Producer({"bootstrap.servers": servers})
    for line in sys.stdin:
        record = json.loads(line)
        producer.produce(
            topic,
            key=data(record["key"]),
            value=data(record["value"]),
            headers=[(name, data(value)) for name, value in record["headers"]],
            on_delivery=lambda error, _: error and failures.append(error),
        )
    return 1 if producer.flush(30) > 0 or failures else 0


if __name__ == "__main__":
    verb, servers, topic, *rest = sys.argv[1:]
    sys.exit(read(servers, topic, int(rest[0])) if verb == "read" else write(servers, topic))
