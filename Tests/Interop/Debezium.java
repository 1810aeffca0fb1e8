// SPDX-License-Identifier: Apache-2.0

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import io.debezium.engine.format.KeyValueHeaderChangeEventFormat;
import java.io.FileReader;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Runs Debezium with the properties of a file, and prints so many events, each on a line: topic, key, value and headers. */
public class Debezium {
    public static void main(String[] arguments) throws Exception {
        var properties = new Properties();
        try (var file = new FileReader(arguments[0])) {
            properties.load(file);
        }
        var rest = new CountDownLatch(Integer.parseInt(arguments[1]));
        var engine = DebeziumEngine.create(KeyValueHeaderChangeEventFormat.of(Json.class, Json.class, Json.class))
            .using(properties)
            .using((isSuccess, message, error) -> {
                if (!isSuccess) {
                    System.err.println(message + ": " + error);
                }
            })
            .notifying(event -> print(event, rest))
            .build();
        var thread = Executors.newSingleThreadExecutor();
        thread.execute(engine);
        var isDone = rest.await(120, TimeUnit.SECONDS);
        engine.close();
        thread.shutdown();
        thread.awaitTermination(10, TimeUnit.SECONDS);
        System.exit(isDone ? 0 : 1);
    }

    private static void print(ChangeEvent<String, String> event, CountDownLatch rest) {
        var line = new StringBuilder(event.destination() + "\t" + event.key() + "\t" + event.value());
        event.headers().forEach(header -> line.append("\t").append(header.getKey()).append("=").append(header.getValue()));
        System.out.println(line);
        System.out.flush();
        rest.countDown();
    }
}
