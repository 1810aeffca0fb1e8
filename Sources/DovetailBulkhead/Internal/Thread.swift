// SPDX-License-Identifier: Apache-2.0

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Threads of the system.
enum Thread {
    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }

        func run() {
            pthread_detach(pthread_self())
            Thread.setName(name)
            body()
        }
    }

    /// The name of a thread of a pool: the pool's, cut to the 15 bytes that Linux keeps, with the number at its end.
    static func name(_ pool: String, _ number: Int) -> String {
        let suffix = "-\(number)"
        var name = pool
        while name.utf8.count + suffix.utf8.count > 15, !name.isEmpty { name.removeLast() }
        return name + suffix
    }

    /// Starts a thread that nobody joins.
    ///
    /// - Returns: Zero, or the system's error.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> Int32 {
        let start = Unmanaged.passRetained(Start(name, body))
        #if canImport(Darwin)
            var thread: pthread_t?
            let status = pthread_create(
                &thread, nil,
                { argument in
                    Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run()
                    return nil
                }, start.toOpaque())
        #else
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { argument in
                    if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run() }
                    return nil
                }, start.toOpaque())
        #endif
        if status != 0 { start.release() }
        return status
    }

    /// Names the calling thread; only tools look at it, so that it may fail.
    private static func setName(_ name: String) {
        #if canImport(Darwin)
            pthread_setname_np(name)
        #else
            // The C library's own function is hidden from Swift.
            guard let file = fopen("/proc/thread-self/comm", "w") else { return }
            fputs(name, file)
            fclose(file)
        #endif
    }
}
