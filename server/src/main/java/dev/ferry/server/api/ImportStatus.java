package dev.ferry.server.api;

/**
 * How far an import is.
 *
 * @param phase {@code verifying} the digests of an appliance, or {@code copying}
 * @param doneBytes of this phase
 * @param totalBytes of this phase
 */
public record ImportStatus(String phase, long doneBytes, long totalBytes) {}
