package dev.ferry.server.api;

/** @param uri the NBD URI to give to the VM */
public record AttachAnswer(String name, String uri) {}
