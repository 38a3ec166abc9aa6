package dev.ferry.server.supervise;

import dev.ferry.reactor.Descriptors;
import dev.ferry.reactor.Spawn;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The daemon's line to whoever holds its listening sockets while it is away: Ferry's supervisor, systemd, or nobody.
 *
 * <p><b>Thread.</b> Any; calls are short and serialised.
 */
public final class Keeper implements AutoCloseable {
    /** Who keeps the sockets. */
    public enum Kind {
        FERRY,
        SYSTEMD,
        NONE
    }

    private static final String SUPERVISOR = "FERRY_SUPERVISOR";
    private static final String STANDBY = "FERRY_STANDBY";

    private final Kind kind;
    private final boolean standby;
    private final @Nullable String path;
    private final int socket;
    private final Map<String, Integer> inherited = new LinkedHashMap<>();

    private Keeper(Kind kind, boolean standby, @Nullable String path, int socket) {
        this.kind = kind;
        this.standby = standby;
        this.path = path;
        this.socket = socket;
    }

    /** Nobody: sockets end with the daemon. */
    public static Keeper none() {
        return new Keeper(Kind.NONE, false, null, -1);
    }

    /**
     * What the environment says of this process's parent. If that is Ferry's supervisor, this process will be told to
     * stop when the supervisor ends. Called once, on the main thread.
     */
    public static Keeper ofEnvironment(Map<String, String> environment) throws IOException {
        String path = environment.get("NOTIFY_SOCKET");
        String supervisor = environment.get(SUPERVISOR);
        if (path == null) {
            return none();
        }
        Kind kind = supervisor == null ? Kind.SYSTEMD : Kind.FERRY;
        if (supervisor != null) {
            Spawn.endWithParent(Spawn.SIGTERM);
            long parent =
                    ProcessHandle.current().parent().map(ProcessHandle::pid).orElse(0L);
            if (!supervisor.equals(Long.toString(parent))) {
                throw new IOException("the supervisor that started this daemon is gone: start 'ferry serve' again");
            }
        }
        Keeper keeper = new Keeper(kind, environment.containsKey(STANDBY), path, Descriptors.datagramSocket());
        for (Descriptors.Inherited one : Descriptors.inherited(environment)) {
            Integer twice = keeper.inherited.put(one.name(), one.descriptor());
            if (twice != null) {
                Descriptors.close(twice);
            }
        }
        return keeper;
    }

    public Kind kind() {
        return kind;
    }

    /** True if this daemon was started to take over from one that still runs. */
    public boolean standby() {
        return standby;
    }

    /** A socket handed down under this name, or -1; it is the caller's from now on. */
    public synchronized int take(String name) {
        Integer descriptor = inherited.remove(name);
        return descriptor == null ? -1 : descriptor;
    }

    /** Names of what was handed down and has not been taken. */
    public synchronized List<String> untaken() {
        return List.copyOf(inherited.keySet());
    }

    /** Has a socket held, so that it outlives this process. */
    public void store(String name, int descriptor) throws IOException {
        say("FDSTORE=1\nFDNAME=" + name, List.of(descriptor));
    }

    /** Has a socket let go of. */
    public void forget(String name) throws IOException {
        say("FDSTOREREMOVE=1\nFDNAME=" + name, List.of());
    }

    public void ready() throws IOException {
        say("READY=1", List.of());
    }

    public void stopping() throws IOException {
        say("STOPPING=1", List.of());
    }

    /** Asks for another daemon to be started and, once it has, for this one to be told to stop. */
    public void requestRestart() throws IOException {
        say("X_FERRY_RESTART=1", List.of());
    }

    /** Says that this daemon is ready to take over. */
    public void standingBy() throws IOException {
        say("X_FERRY_STANDBY=1", List.of());
    }

    private synchronized void say(String what, List<Integer> descriptors) throws IOException {
        if (path != null) {
            String message = what + "\nMAINPID=" + ProcessHandle.current().pid();
            Descriptors.send(socket, path, message, descriptors);
        }
    }

    @Override
    public synchronized void close() {
        inherited.values().forEach(Descriptors::close);
        inherited.clear();
        if (socket >= 0) {
            Descriptors.close(socket);
        }
    }
}
