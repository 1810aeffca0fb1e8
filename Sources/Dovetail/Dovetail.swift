// SPDX-License-Identifier: Apache-2.0

@_exported public import DovetailBulkhead
@_exported public import DovetailCircuitBreaker
@_exported public import DovetailClaimCheck
@_exported public import DovetailConsumer
@_exported public import DovetailCore
@_exported public import DovetailDeadLetters
@_exported public import DovetailIdempotency
@_exported public import DovetailOutbox
@_exported public import DovetailReplica
@_exported public import DovetailResilience
@_exported public import DovetailSaga
