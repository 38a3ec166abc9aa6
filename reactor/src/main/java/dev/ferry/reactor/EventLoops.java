package dev.ferry.reactor;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The event loops of a process, all of one kind, and the report of which kind that is and why. */
public final class EventLoops implements AutoCloseable {
    private final List<EventLoop> loops;
    private final String report;
    private int next;

    /** Which kind of loop is wanted. */
    public enum Kind {
        /** io_uring if this kernel lets us, else epoll. */
        AUTO,
        IO_URING,
        EPOLL
    }

    private EventLoops(List<EventLoop> loops, String report) {
        this.loops = List.copyOf(loops);
        this.report = report;
    }

    /**
     * Starts loops, after a probe of what this kernel can do.
     *
     * @param count how many, at least 1; as many as cores is right for a server
     * @throws UnsupportedOperationException if io_uring is asked for and not to be had; the message says why
     */
    public static EventLoops start(int count, Kind kind) {
        String why = "as asked";
        if (kind != Kind.EPOLL) {
            List<EventLoop> rings = new ArrayList<>();
            String refusal = startRings(count, rings);
            if (refusal == null) {
                return new EventLoops(rings, "io_uring");
            }
            rings.forEach(EventLoop::close);
            if (kind == Kind.IO_URING) {
                throw new UnsupportedOperationException(refusal);
            }
            why = refusal;
        }
        List<EventLoop> loops = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            EpollLoop loop = new EpollLoop("ferry-loop-" + i);
            loop.start();
            loops.add(loop);
        }
        return new EventLoops(loops, "epoll (" + why + ")");
    }

    private static @Nullable String startRings(int count, List<EventLoop> rings) {
        for (int i = 0; i < count; i++) {
            RingLoop ring = new RingLoop("ferry-loop-" + i);
            String refusal = ring.tryStart();
            if (refusal != null) {
                return refusal;
            }
            rings.add(ring);
        }
        return null;
    }

    public List<EventLoop> all() {
        return loops;
    }

    /** One loop after the other, for disks as they are opened. Any thread. */
    public synchronized EventLoop next() {
        EventLoop loop = loops.get(next);
        next = (next + 1) % loops.size();
        return loop;
    }

    /** What runs here, in words: {@code io_uring}, or {@code epoll} and why. */
    public String report() {
        return report;
    }

    @Override
    public void close() {
        loops.forEach(EventLoop::close);
    }
}
