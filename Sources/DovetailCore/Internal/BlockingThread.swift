// SPDX-License-Identifier: Apache-2.0

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Threads for calls that block, which must not take those of the global pool.
package enum BlockingThread {
    private final class Start: Sendable {
        let name: String?
        let body: @Sendable () -> Void

        init(_ name: String?, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }

        func run() {
            pthread_detach(pthread_self())
            if let name { BlockingThread.setName(name) }
            body()
        }
    }

    /// Starts a thread that ends with its body, and that nobody joins.
    ///
    /// - Parameters:
    ///   - name: What tools call it; Linux keeps 15 bytes.
    ///   - body: What it does.
    /// - Returns: Zero, or the system's error; the body is then not run.
    package static func start(named name: String? = nil, _ body: @escaping @Sendable () -> Void) -> Int32 {
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
