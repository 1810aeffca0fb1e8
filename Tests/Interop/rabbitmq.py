"""The other side of a test: reads or publishes with pika what the library publishes or reads.

Usage: rabbitmq.py read ADDRESS TOPIC COUNT | rabbitmq.py write ADDRESS TOPIC

`read` binds a queue of its own to the exchange of a topic, says `ready`, and prints each message as one line of JSON: content
type, message id, headers and body as text, bytes that are no text in hexadecimal.
`write` reads such lines, with a routing key, from the standard input and publishes them.
"""

import json
import sys

import pika


def text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "hex:" + data.hex()


def data(text):
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def read(address, topic, count):
    channel = pika.BlockingConnection(pika.URLParameters(address)).channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    for key in range(64):
        channel.queue_bind(queue, topic, str(key))
    print("ready", flush=True)
    for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=30):
        if method is None:
            return 1
        print(
            json.dumps(
                {
                    "type": properties.content_type,
                    "id": properties.message_id,
                    "mode": properties.delivery_mode,
                    "headers": properties.headers or {},
                    "body": text(body),
                }
            ),
            flush=True,
        )
        count -= 1
        if count == 0:
            return 0


def write(address, topic):
    channel = pika.BlockingConnection(pika.URLParameters(address)).channel()
    channel.confirm_delivery()
    for line in sys.stdin:
        message = json.loads(line)
        headers = {name: data(value) if isinstance(value, str) and value.startswith("hex:") else value
                   for name, value in message["headers"].items()}
        properties = pika.BasicProperties(
            content_type=message.get("type"), message_id=message.get("id"), headers=headers
        )
        channel.basic_publish(topic, message["key"], data(message["body"]), properties, mandatory=True)
    return 0


if __name__ == "__main__":
    verb, address, topic, *rest = sys.argv[1:]
    sys.exit(read(address, topic, int(rest[0])) if verb == "read" else write(address, topic))
