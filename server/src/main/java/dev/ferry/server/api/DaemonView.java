package dev.ferry.server.api;

/**
 * The daemon itself.
 *
 * @param loop how its event loops wait: {@code io_uring} or {@code epoll}
 * @param supervisor who holds its sockets while it is away: {@code ferry}, {@code systemd} or {@code none}
 * @param startedAt when, ISO 8601
 * @param outageMillis how long guests waited while this daemon took over from the one before, by {@code ferry restart};
 *     -1 if it did not take over
 */
public record DaemonView(
        String version,
        long pid,
        String data,
        String loop,
        int threads,
        String supervisor,
        String startedAt,
        double outageMillis) {}
