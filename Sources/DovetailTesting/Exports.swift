// SPDX-License-Identifier: Apache-2.0

// A test that has a world needs its clock, its faults and its crash plans: one import brings both.
@_exported public import DovetailSimulation
