package dev.ferry.nbd.server;

import dev.ferry.block.Invariant;
import java.time.Duration;

/**
 * Bounds of a server.
 *
 * @param handshakeMax a connection that has not chosen its export by then is closed
 * @param connectionsMax connections in all, those in the handshake included; one more is closed at once
 * @param clientsPerExportMax connections that use one export; one more is refused it
 * @param requestsInFlightMax requests of one connection that are taken before the first of them is answered
 * @param bytesInFlightMax bytes of one connection's requests and of replies that it has not taken; beyond it the server
 *     stops receiving. One request may always be in flight
 * @param goodbyeMax how long a client that is sent away may take to receive what is under way
 */
public record ServerSettings(
        Duration handshakeMax,
        int connectionsMax,
        int clientsPerExportMax,
        int requestsInFlightMax,
        int bytesInFlightMax,
        Duration goodbyeMax) {
    public static final ServerSettings DEFAULT =
            new ServerSettings(Duration.ofSeconds(10), 4096, 1024, 256, 64 << 20, Duration.ofSeconds(5));

    public ServerSettings {
        Invariant.that(connectionsMax > 0, "no connection allowed");
        Invariant.that(clientsPerExportMax > 0, "no client allowed");
        Invariant.that(requestsInFlightMax > 0 && requestsInFlightMax <= 400, "requests in flight: 1 to 400");
        Invariant.that(bytesInFlightMax > 0, "no byte allowed");
    }

    public ServerSettings withHandshakeMax(Duration bound) {
        return new ServerSettings(
                bound, connectionsMax, clientsPerExportMax, requestsInFlightMax, bytesInFlightMax, goodbyeMax);
    }

    public ServerSettings withConnectionsMax(int bound) {
        return new ServerSettings(
                handshakeMax, bound, clientsPerExportMax, requestsInFlightMax, bytesInFlightMax, goodbyeMax);
    }

    public ServerSettings withClientsPerExportMax(int bound) {
        return new ServerSettings(
                handshakeMax, connectionsMax, bound, requestsInFlightMax, bytesInFlightMax, goodbyeMax);
    }

    public ServerSettings withBytesInFlightMax(int bound) {
        return new ServerSettings(
                handshakeMax, connectionsMax, clientsPerExportMax, requestsInFlightMax, bound, goodbyeMax);
    }

    public ServerSettings withGoodbyeMax(Duration bound) {
        return new ServerSettings(
                handshakeMax, connectionsMax, clientsPerExportMax, requestsInFlightMax, bytesInFlightMax, bound);
    }
}
