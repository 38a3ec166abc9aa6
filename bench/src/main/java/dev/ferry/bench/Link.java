package dev.ferry.bench;

/** A link that is long and narrow, and what it has carried each way. */
interface Link extends AutoCloseable {
    LinkDirection toServer();

    LinkDirection toClient();

    @Override
    void close();
}
