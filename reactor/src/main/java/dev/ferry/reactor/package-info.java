/**
 * Event loops: the threads that disks and connections live on.
 *
 * <p>{@link dev.ferry.reactor.EventLoop} is the contract: sockets, files, timers and commands from other threads, all
 * by completion. {@code RingLoop} keeps it on io_uring; {@code EpollLoop} on epoll
 * and a few worker threads, for kernels and containers without io_uring. {@code EventLoops} probes
 * and starts them, one for each core. {@code Linux} holds the system calls: the only place in Ferry
 * with foreign calls, and {@code Sockets} what is done with them to make and tune sockets.
 */
@NullMarked
package dev.ferry.reactor;

import org.jspecify.annotations.NullMarked;
