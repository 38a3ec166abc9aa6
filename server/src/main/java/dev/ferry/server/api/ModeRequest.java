package dev.ferry.server.api;

/** @param mode how a move is to go on: {@code mirror} */
public record ModeRequest(String mode) {}
