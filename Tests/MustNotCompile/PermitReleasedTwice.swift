// error: 'permit' consumed more than once
import Dovetail

func upload(through bulkhead: Bulkhead) async throws {
    let permit = try await bulkhead.acquire()
    permit.release()
    permit.release()
}
