package dev.ferry.nbd.server;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import java.util.concurrent.TimeUnit;

/** Accepts connections on a listening socket. Lives on one loop. */
final class Acceptor extends IoOperation implements NbdServer.Listener {
    private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    private final NbdServer server;
    private final EventLoop loop;
    private final int listener;
    private boolean closing;
    private boolean pausing;
    private boolean closed;

    Acceptor(NbdServer server, EventLoop loop, int listener) {
        this.server = server;
        this.loop = loop;
        this.listener = listener;
    }

    void begin() {
        if (closing) {
            end();
        } else {
            loop.accept(listener, this);
        }
    }

    @Override
    public void close() {
        loop.execute(() -> {
            closing = true;
            if (inFlight()) {
                loop.cancel(this);
            } else if (!pausing) {
                end();
            }
        });
    }

    @Override
    protected void completed(int result) {
        if (result >= 0) {
            server.accepted(loop, result);
        }
        if (closing) {
            end();
        } else if (result >= 0 || result == -Errno.ECONNABORTED || result == -Errno.EINTR) {
            loop.accept(listener, this);
        } else {
            // Mostly a want of descriptors: others have to close some first.
            pausing = true;
            loop.schedule(PAUSE_NANOS, this::resumed);
        }
    }

    private void resumed() {
        pausing = false;
        begin();
    }

    private void end() {
        if (!closed) {
            closed = true;
            Linux.close(listener);
            server.listenerClosed(this);
        }
    }
}
