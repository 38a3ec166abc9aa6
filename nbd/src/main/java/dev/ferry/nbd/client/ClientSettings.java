package dev.ferry.nbd.client;

import dev.ferry.block.Invariant;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Bounds and wishes of a client.
 *
 * @param openMax how long the handshake with the server may take
 * @param connections how many connections are wanted; a server that does not promise that a flush on one covers all gets one,
 *     one that refuses more than some gets those
 * @param requestMax how long a request may be without an answer before its connection counts as lost; zero: for ever
 * @param reconnectMax how long requests wait for a server that has gone away, while the client tries to connect again;
 *     zero: a connection that is lost stays lost
 * @param contexts metadata contexts that are wanted besides {@code base:allocation}; which of them the server has is told
 *     by {@link NbdClientDevice#contexts}
 * @param tlsCertificates a directory of certificates, as libnbd and QEMU use them, for URIs that ask for TLS and name none;
 *     null: the authorities that this Java trusts
 */
public record ClientSettings(
        Duration openMax,
        int connections,
        Duration requestMax,
        Duration reconnectMax,
        List<String> contexts,
        @Nullable Path tlsCertificates) {
    public static final ClientSettings DEFAULT =
            new ClientSettings(Duration.ofSeconds(30), 1, Duration.ZERO, Duration.ZERO, List.of(), null);

    private static final int CONNECTIONS_MAX = 64;

    public ClientSettings {
        Invariant.that(connections > 0 && connections <= CONNECTIONS_MAX, "connections: 1 to 64");
        Invariant.that(!requestMax.isNegative() && !reconnectMax.isNegative(), "a bound below zero");
        contexts = List.copyOf(contexts);
    }

    public ClientSettings withOpenMax(Duration bound) {
        return new ClientSettings(bound, connections, requestMax, reconnectMax, contexts, tlsCertificates);
    }

    public ClientSettings withConnections(int wanted) {
        return new ClientSettings(openMax, wanted, requestMax, reconnectMax, contexts, tlsCertificates);
    }

    public ClientSettings withRequestMax(Duration bound) {
        return new ClientSettings(openMax, connections, bound, reconnectMax, contexts, tlsCertificates);
    }

    public ClientSettings withReconnectMax(Duration bound) {
        return new ClientSettings(openMax, connections, requestMax, bound, contexts, tlsCertificates);
    }

    public ClientSettings withContexts(List<String> wanted) {
        return new ClientSettings(openMax, connections, requestMax, reconnectMax, wanted, tlsCertificates);
    }

    public ClientSettings withTlsCertificates(@Nullable Path directory) {
        return new ClientSettings(openMax, connections, requestMax, reconnectMax, contexts, directory);
    }
}
