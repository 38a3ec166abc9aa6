package dev.ferry.server.supervise;

import dev.ferry.reactor.Descriptors;
import dev.ferry.reactor.Spawn;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The parent of the daemon: it holds the sockets that VMs connect to, and sees to it that a daemon is there to serve
 * them. It knows nothing of disks, so there is little in it that could fail.
 *
 * <p>When the daemon dies, another is started at once; one that dies again and again while starting is given longer and
 * longer pauses. One that ends with status 1 or 2 before any has ever served has said why on standard error: it is not
 * started again, and its status is the supervisor's. On request a second daemon is started first, and when it is ready
 * but for the data directory the first is told to stop, so that the guests wait only for the hand-over.
 *
 * <p>Where somebody holds sockets for this process in turn (systemd), all that daemons ask to be held is passed on, and
 * what is handed down is the daemon's.
 *
 * <p><b>Thread.</b> {@link #run} is a loop over events and owns all state; {@link #stop} may be called from anywhere.
 */
public final class Supervisor {
    private static final int MESSAGE_BYTES_MAX = 4096;
    private static final long STOP_NANOS_MAX = TimeUnit.SECONDS.toNanos(30);
    private static final long STANDBY_NANOS_MAX = TimeUnit.SECONDS.toNanos(60);
    private static final long BACK_OFF_NANOS_MIN = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long BACK_OFF_NANOS_MAX = TimeUnit.SECONDS.toNanos(10);
    private static final long SETTLED_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final Path notifyPath;
    private final List<String> command;
    private final PrintStream log;
    private final Keeper above;
    private final LinkedBlockingQueue<Event> events = new LinkedBlockingQueue<>();
    private final Map<String, Integer> store = new LinkedHashMap<>();

    private @Nullable Child current;
    private @Nullable Child standby;
    private boolean everReady;
    private boolean stopping;
    /** True from when the standby is ready until the one before it is gone. */
    private boolean handingOver;

    private int failures;
    /** When something is to be done if nothing happens before; 0: never. */
    private long dueNanos;

    private sealed interface Event {
        record Said(Descriptors.Message message) implements Event {}

        record Ended(int pid, Spawn.Exit exit) implements Event {}

        record Renew() implements Event {}

        record Stop() implements Event {}
    }

    private static final class Child {
        final int pid;
        final long startedNanos;
        boolean ready;

        Child(int pid, long startedNanos) {
            this.pid = pid;
            this.startedNanos = startedNanos;
        }
    }

    /**
     * @param notifyPath where daemons send their messages; whatever is there is replaced
     * @param command how a daemon is started
     * @param log where it is told when a daemon dies
     * @param above who holds what this holds, so that it outlives this process too
     */
    public Supervisor(Path notifyPath, List<String> command, PrintStream log, Keeper above) {
        this.above = above;
        this.notifyPath = notifyPath;
        this.command = List.copyOf(command);
        this.log = log;
    }

    /** Stops the daemon, gracefully if it lets itself be; {@link #run} then returns. */
    public void stop() {
        events.add(new Event.Stop());
    }

    /** Has the daemon replaced by a new one, if it agrees: it is asked by a signal, and its log says why not. */
    public void renew() {
        events.add(new Event.Renew());
    }

    /**
     * Runs until stopped, or until the first daemon has refused to start.
     *
     * @return 0, or the status of that daemon
     */
    public int run() throws IOException, InterruptedException {
        for (String name : above.untaken()) {
            store.put(name, Descriptors.moveOutOfTheWay(above.take(name)));
        }
        Files.deleteIfExists(notifyPath);
        int socket = Descriptors.datagramSocket(notifyPath.toString());
        Thread.ofPlatform().daemon().name("ferry-notify").start(() -> listen(socket));
        try {
            current = start(false);
            while (true) {
                Event event = next();
                Integer status = switch (event) {
                    case Event.Said said -> said(said.message());
                    case Event.Ended ended -> ended(ended.pid(), ended.exit());
                    case Event.Renew renew -> askForRenewal();
                    case Event.Stop stop -> stopChildren();
                    case null -> due();
                };
                if (status != null) {
                    return status;
                }
            }
        } finally {
            killAll();
            store.values().forEach(Descriptors::close);
            Files.deleteIfExists(notifyPath);
        }
    }

    private @Nullable Event next() throws InterruptedException {
        if (dueNanos == 0) {
            return events.take();
        }
        return events.poll(Math.max(dueNanos - System.nanoTime(), 0), TimeUnit.NANOSECONDS);
    }

    private void dueIn(long nanos) {
        dueNanos = nanos == 0 ? 0 : System.nanoTime() + nanos;
    }

    // ---- children

    private Child start(boolean asStandby) throws IOException {
        Map<String, String> environment = new HashMap<>(System.getenv());
        environment.put("NOTIFY_SOCKET", notifyPath.toString());
        environment.put(
                "FERRY_SUPERVISOR", Long.toString(ProcessHandle.current().pid()));
        environment.put("LISTEN_FDNAMES", String.join(":", store.keySet()));
        if (asStandby) {
            environment.put("FERRY_STANDBY", "1");
        }
        int pid = Spawn.start(command, environment, new ArrayList<>(store.values()));
        Thread.ofPlatform().daemon().name("ferry-wait-" + pid).start(() -> {
            try {
                events.add(new Event.Ended(pid, Spawn.await(pid)));
            } catch (IOException notOurs) {
                throw new IllegalStateException(notOurs);
            }
        });
        return new Child(pid, System.nanoTime());
    }

    private @Nullable Integer ended(int pid, Spawn.Exit exit) {
        if (standby != null && standby.pid == pid) {
            standby = null;
            if (!stopping) {
                log.println(
                        "ferry: the new daemon " + ending(exit) + " before it could take over; the old one goes on");
                dueIn(0);
            }
        } else if (current != null && current.pid == pid) {
            Child gone = current;
            current = null;
            if (!stopping) {
                return replace(gone, exit);
            }
        }
        return stopping && current == null && standby == null ? 0 : null;
    }

    private @Nullable Integer replace(Child gone, Spawn.Exit exit) {
        dueIn(0);
        if (standby != null) {
            current = standby;
            standby = null;
            return null;
        }
        if (!exit.signalled() && (exit.status() == 0 || (exit.status() <= 2 && !everReady))) {
            return exit.status();
        }
        boolean settled = gone.ready && System.nanoTime() - gone.startedNanos > SETTLED_NANOS;
        failures = settled ? 0 : failures + 1;
        long pauseNanos =
                failures <= 1 ? 1 : Math.min(BACK_OFF_NANOS_MIN << Math.min(failures - 2, 10), BACK_OFF_NANOS_MAX);
        log.println("ferry: the daemon (process " + gone.pid + ") " + ending(exit) + "; starting another"
                + (failures <= 1 ? "" : " in " + TimeUnit.NANOSECONDS.toMillis(pauseNanos) + " ms"));
        dueIn(pauseNanos);
        return null;
    }

    private static String ending(Spawn.Exit exit) {
        return exit.signalled() ? "was ended by signal " + (exit.status() - 128) : "ended with status " + exit.status();
    }

    /** The moment has come: start again, give up on a standby, or stop waiting for those who should have ended. */
    private @Nullable Integer due() throws IOException {
        dueIn(0);
        if (stopping) {
            killAll();
        } else if (current == null) {
            current = start(false);
        } else if (standby != null) {
            // Whichever of the two is late: the one that should have made ready, or the one that should have gone.
            Child late = handingOver ? current : standby;
            log.println("ferry: process " + late.pid + " is late for the restart; killing it");
            Spawn.signal(late.pid, Spawn.SIGKILL);
        }
        return null;
    }

    private @Nullable Integer askForRenewal() {
        if (current == null || !current.ready || standby != null || stopping) {
            log.println("ferry: no restart now: the daemon is being started or stopped already");
        } else {
            Spawn.signal(current.pid, Spawn.SIGHUP);
        }
        return null;
    }

    private @Nullable Integer stopChildren() {
        stopping = true;
        tell(Keeper::stopping);
        dueIn(STOP_NANOS_MAX);
        for (Child child : children()) {
            Spawn.signal(child.pid, Spawn.SIGTERM);
        }
        return children().isEmpty() ? 0 : null;
    }

    private void killAll() {
        children().forEach(child -> Spawn.signal(child.pid, Spawn.SIGKILL));
    }

    private List<Child> children() {
        List<Child> children = new ArrayList<>();
        if (current != null) {
            children.add(current);
        }
        if (standby != null) {
            children.add(standby);
        }
        return children;
    }

    // ---- messages

    private void listen(int socket) {
        try {
            while (true) {
                events.add(new Event.Said(Descriptors.receive(socket, MESSAGE_BYTES_MAX)));
            }
        } catch (IOException failed) {
            log.println("ferry: the supervisor no longer hears its daemon: " + failed.getMessage());
            stop();
        }
    }

    private @Nullable Integer said(Descriptors.Message message) throws IOException {
        Map<String, String> fields = new HashMap<>();
        message.text().lines().forEach(line -> {
            int equals = line.indexOf('=');
            if (equals > 0) {
                fields.put(line.substring(0, equals), line.substring(equals + 1));
            }
        });
        List<Integer> unwanted = new ArrayList<>(message.descriptors());
        String name = fields.getOrDefault("FDNAME", "unknown");
        if (fields.containsKey("FDSTORE") && !unwanted.isEmpty()) {
            int kept = Descriptors.moveOutOfTheWay(unwanted.removeFirst());
            forget(name);
            store.put(name, kept);
            tell(keeper -> keeper.store(name, kept));
        }
        unwanted.forEach(Descriptors::close);
        if (fields.containsKey("FDSTOREREMOVE")) {
            forget(name);
        }
        String pid = fields.getOrDefault("MAINPID", "");
        if (fields.containsKey("READY")) {
            ready(pid);
        }
        if (fields.containsKey("X_FERRY_RESTART") && standby == null && current != null && !stopping) {
            handingOver = false;
            standby = start(true);
            dueIn(STANDBY_NANOS_MAX);
        }
        if (fields.containsKey("X_FERRY_STANDBY") && standby != null && pid.equals(Integer.toString(standby.pid))) {
            handingOver = true;
            if (current != null) {
                Spawn.signal(current.pid, Spawn.SIGTERM);
            }
            dueIn(STOP_NANOS_MAX);
        }
        return null;
    }

    private void ready(String pid) {
        for (Child child : children()) {
            if (pid.equals(Integer.toString(child.pid))) {
                child.ready = true;
                if (!everReady) {
                    tell(Keeper::ready);
                }
                everReady = true;
            }
        }
    }

    private void forget(String name) {
        Integer descriptor = store.remove(name);
        if (descriptor != null) {
            Descriptors.close(descriptor);
            tell(keeper -> keeper.forget(name));
        }
    }

    /** Something for whoever is above. */
    @FunctionalInterface
    private interface Word {
        void sayTo(Keeper keeper) throws IOException;
    }

    /** That it is not heard is no reason to let go of what guests are connected to. */
    private void tell(Word word) {
        try {
            word.sayTo(above);
        } catch (IOException unheard) {
            log.println("ferry: whoever started this does not hear: " + unheard.getMessage());
        }
    }
}
