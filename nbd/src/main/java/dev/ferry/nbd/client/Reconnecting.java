package dev.ferry.nbd.client;

import dev.ferry.block.BlockException;
import dev.ferry.reactor.EventLoop;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Tries to connect again, one attempt after the other, ever more seldom. Belongs to the device's loop; an attempt itself
 * waits on a thread of its own, because names are looked up and connections made by calls that block.
 */
final class Reconnecting {
    private static final long FIRST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(50);
    private static final long LONGEST_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final LinkGroup group;
    private final EventLoop loop;
    private final NbdUri uri;
    private final ClientSettings settings;
    private boolean busy;
    private boolean stopped;
    private long beganNanos;
    private long pauseNanos;

    Reconnecting(LinkGroup group, EventLoop loop, NbdUri uri, ClientSettings settings) {
        this.group = group;
        this.loop = loop;
        this.uri = uri;
        this.settings = settings;
    }

    /** @param nothingLeft no connection is left, so that the bound on outages begins to run now */
    void begin(boolean nothingLeft) {
        if (nothingLeft || !busy) {
            beganNanos = loop.nanoTime();
        }
        if (!busy && !stopped) {
            busy = true;
            pauseNanos = FIRST_PAUSE_NANOS;
            attempt();
        }
    }

    void stop() {
        stopped = true;
    }

    private void attempt() {
        if (stopped) {
            busy = false;
            return;
        }
        Thread.ofPlatform().daemon().name("ferry-reconnect").start(this::connect);
    }

    private void connect() {
        try {
            Negotiation.Result result = Negotiation.use(loop, uri, settings);
            tell(() -> connected(result), result::close);
        } catch (BlockException failed) {
            String why = failed.error().detail();
            tell(() -> refused(why), () -> {});
        }
    }

    private void tell(Runnable news, Runnable otherwise) {
        try {
            loop.execute(news);
        } catch (RejectedExecutionException loopIsGone) {
            otherwise.run();
        }
    }

    private void connected(Negotiation.Result result) {
        busy = false;
        group.add(result);
    }

    private void refused(String why) {
        if (loop.nanoTime() - beganNanos > settings.reconnectMax().toNanos()) {
            busy = false;
            group.gaveUp(why);
            return;
        }
        loop.schedule(pauseNanos, this::attempt);
        pauseNanos = Math.min(2 * pauseNanos, LONGEST_PAUSE_NANOS);
    }
}
