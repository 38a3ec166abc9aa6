package dev.ferry.nbd.transport;

import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;

/** A socket and nothing else. */
final class PlainTransport extends Transport {
    private final EventLoop loop;

    PlainTransport(EventLoop loop, int socket) {
        super(socket);
        this.loop = loop;
    }

    @Override
    public EventLoop loop() {
        return loop;
    }

    @Override
    public void receive(long address, int length, IoOperation operation) {
        loop.receive(socket(), address, length, operation);
    }

    @Override
    public void receiveFully(long address, int length, IoOperation operation) {
        loop.receiveFully(socket(), address, length, operation);
    }

    @Override
    public void send(long address, int length, IoOperation operation) {
        loop.send(socket(), address, length, operation);
    }

    @Override
    public void sendVectors(long vectors, int count, IoOperation operation) {
        loop.sendVectors(socket(), vectors, count, operation);
    }

    @Override
    public void cancel(IoOperation operation) {
        loop.cancel(operation);
    }

    @Override
    public boolean inTheClear() {
        return true;
    }

    @Override
    public Transport moveTo(EventLoop other) {
        return new PlainTransport(other, socket());
    }
}
