package dev.ferry.nbd.client;

import java.time.Duration;

/**
 * Bounds of a client.
 *
 * @param openMax how long the handshake with the server may take
 */
public record ClientSettings(Duration openMax) {
    public static final ClientSettings DEFAULT = new ClientSettings(Duration.ofSeconds(30));
}
