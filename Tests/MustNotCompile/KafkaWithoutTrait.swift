// error: 'KafkaTransport' is unavailable: Turn on the trait Kafka
import DovetailKafka

func connect() -> KafkaTransport? { nil }
