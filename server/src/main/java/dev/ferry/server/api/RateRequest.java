package dev.ferry.server.api;

/** @param bytesPerSecond the new bound on a move's copy, 0 for none */
public record RateRequest(long bytesPerSecond) {}
