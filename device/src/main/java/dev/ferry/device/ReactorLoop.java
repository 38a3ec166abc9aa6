package dev.ferry.device;

import dev.ferry.block.Loop;
import dev.ferry.reactor.EventLoop;

/** An event loop as the layers of a disk see it. */
public record ReactorLoop(EventLoop events) implements Loop {
    @Override
    public void execute(Runnable command) {
        events.execute(command);
    }

    @Override
    public boolean inLoop() {
        return events.inLoop();
    }

    @Override
    public long nanoTime() {
        return events.nanoTime();
    }

    @Override
    public Timer schedule(long delayNanos, Runnable task) {
        EventLoop.Timer timer = events.schedule(delayNanos, task);
        return timer::cancel;
    }

    @Override
    public Alarm alarm(Runnable task) {
        EventLoop.Alarm alarm = events.alarm(task);
        return new Alarm() {
            @Override
            public void set(long delayNanos) {
                alarm.set(delayNanos);
            }

            @Override
            public void cancel() {
                alarm.cancel();
            }
        };
    }
}
