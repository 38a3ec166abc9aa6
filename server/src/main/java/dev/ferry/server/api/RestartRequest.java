package dev.ferry.server.api;

/** @param force restart even while moves run; each then goes on, or back, by what its journal says */
public record RestartRequest(boolean force) {}
