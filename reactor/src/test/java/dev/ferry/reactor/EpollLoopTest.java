package dev.ferry.reactor;

class EpollLoopTest extends EventLoopContract {
    @Override
    EventLoops.Kind kind() {
        return EventLoops.Kind.EPOLL;
    }
}
