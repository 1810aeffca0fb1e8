// error: 'RabbitMQTransport' is unavailable: Turn on the trait RabbitMQ
import DovetailRabbitMQ

func connect() -> RabbitMQTransport? { nil }
