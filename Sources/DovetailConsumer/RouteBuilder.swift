// SPDX-License-Identifier: Apache-2.0

/// Builds the routes of a ``Consumer``; `if`, `switch` and `for` may be used.
@resultBuilder
public enum RouteBuilder {
    /// Takes one route.
    ///
    /// - Parameter route: The route.
    /// - Returns: A list of it.
    public static func buildExpression(_ route: On) -> [On] { [route] }

    /// Takes routes that were built elsewhere.
    ///
    /// - Parameter routes: The routes.
    /// - Returns: The same.
    public static func buildExpression(_ routes: [On]) -> [On] { routes }

    /// Joins the routes of a block.
    ///
    /// - Parameter parts: The routes of each line.
    /// - Returns: All of them.
    public static func buildBlock(_ parts: [On]...) -> [On] { parts.flatMap(\.self) }

    /// Takes the routes of an `if` without `else`.
    ///
    /// - Parameter routes: The routes; `nil` if the condition does not hold.
    /// - Returns: The routes.
    public static func buildOptional(_ routes: [On]?) -> [On] { routes ?? [] }

    /// Takes the routes of the first branch.
    ///
    /// - Parameter routes: The routes.
    /// - Returns: The same.
    public static func buildEither(first routes: [On]) -> [On] { routes }

    /// Takes the routes of the second branch.
    ///
    /// - Parameter routes: The routes.
    /// - Returns: The same.
    public static func buildEither(second routes: [On]) -> [On] { routes }

    /// Joins the routes of a loop.
    ///
    /// - Parameter parts: The routes of each turn.
    /// - Returns: All of them.
    public static func buildArray(_ parts: [[On]]) -> [On] { parts.flatMap(\.self) }
}
