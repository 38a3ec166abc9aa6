package dev.ferry.reactor;

class RingLoopTest extends EventLoopContract {
    @Override
    EventLoops.Kind kind() {
        return EventLoops.Kind.IO_URING;
    }
}
