package dev.ferry.server.api;

/**
 * Why a request was refused or failed.
 *
 * @param message one line: what, why, what to do
 */
public record Problem(ProblemKind kind, String message) {}
