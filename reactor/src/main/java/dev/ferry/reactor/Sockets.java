package dev.ferry.reactor;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Makes sockets and tunes them. All of them are non-blocking and close-on-exec; they are plain descriptors. */
public final class Sockets {
    private static final int AF_UNIX = 1;
    private static final int AF_INET = 2;
    private static final int AF_INET6 = 10;
    private static final int SOCK_STREAM_NONBLOCK = 1 | 0x800 | 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SO_REUSEADDR = 2;
    private static final int SO_ERROR = 4;
    private static final int SO_SNDBUF = 7;
    private static final int SO_RCVBUF = 8;
    private static final int SO_KEEPALIVE = 9;
    private static final int SO_SNDBUFFORCE = 32;
    private static final int SO_RCVBUFFORCE = 33;
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_NODELAY = 1;
    private static final int BACKLOG = 1024;
    private static final int MOST_ADDRESS_BYTES = 128;
    private static final int MOST_UNIX_PATH_BYTES = 107;

    private Sockets() {}

    /** Listens on a unix socket; the path must be free. The socket file is made with the process's umask. */
    public static int listenUnix(Path path) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            return listen(AF_UNIX, unixAddress(arena, path), path.toString());
        }
    }

    /** Listens on a TCP address; port 0 takes a free one, which {@link #localPort} then tells. */
    public static int listenTcp(InetSocketAddress address) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment memory = tcpAddress(arena, address);
            return listen(memory.get(ValueLayout.JAVA_SHORT, 0), memory, address.toString());
        }
    }

    private static int listen(int family, MemorySegment address, String what) throws IOException {
        int socket = checked(Linux.socket(family, SOCK_STREAM_NONBLOCK, 0), "making a socket for " + what);
        if (family != AF_UNIX) {
            setOption(socket, SOL_SOCKET, SO_REUSEADDR, 1);
        }
        int result = Linux.bind(socket, address.address(), (int) address.byteSize());
        if (result == 0) {
            result = Linux.listen(socket, BACKLOG);
        }
        if (result < 0) {
            Linux.close(socket);
            throw new IOException("cannot listen on " + what + ": " + Errno.text(result));
        }
        return socket;
    }

    /** Connects to a unix socket and waits for that; for control-plane threads. */
    public static int connectUnix(Path path) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = unixAddress(arena, path);
            return connect(AF_UNIX, address, path.toString());
        }
    }

    /** Connects to a TCP address and waits for that; for control-plane threads. */
    public static int connectTcp(InetSocketAddress address) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment memory = tcpAddress(arena, address);
            int socket = connect(memory.get(ValueLayout.JAVA_SHORT, 0), memory, address.toString());
            tuneTcp(socket);
            return socket;
        }
    }

    private static int connect(int family, MemorySegment address, String what) throws IOException {
        int blockingStream = 1 | 0x80000;
        int socket = checked(Linux.socket(family, blockingStream, 0), "making a socket for " + what);
        int result = Linux.connect(socket, address.address(), (int) address.byteSize());
        if (result < 0) {
            Linux.close(socket);
            throw new IOException("cannot connect to " + what + ": " + Errno.text(result));
        }
        return adopt(socket);
    }

    /** Makes a listening socket that another process has opened fit for a loop. */
    public static int adopt(int socket) {
        int fSetFl = 4;
        Linux.fcntl(socket, fSetFl, Linux.O_NONBLOCK);
        return socket;
    }

    /** Two connected unix stream sockets. */
    public static int[] pair() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment two = arena.allocate(8, 4);
            checked(Linux.socketPair(AF_UNIX, SOCK_STREAM_NONBLOCK, two.address()), "making a pair of sockets");
            return new int[] {two.get(ValueLayout.JAVA_INT, 0), two.get(ValueLayout.JAVA_INT, 4)};
        }
    }

    /** The port that a TCP socket is bound to. */
    public static int localPort(int socket) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(MOST_ADDRESS_BYTES, 8);
            MemorySegment length = arena.allocate(4, 4);
            length.set(ValueLayout.JAVA_INT, 0, MOST_ADDRESS_BYTES);
            checked(Linux.socketName(socket, address.address(), length.address()), "asking for a socket's address");
            return Short.toUnsignedInt(Short.reverseBytes(address.get(ValueLayout.JAVA_SHORT, 2)));
        }
    }

    /** The path that a unix socket is bound to; null if it is none, or has no path. */
    public static @Nullable Path localPath(int socket) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(MOST_ADDRESS_BYTES, 8);
            MemorySegment length = arena.allocate(4, 4);
            length.set(ValueLayout.JAVA_INT, 0, MOST_ADDRESS_BYTES);
            checked(Linux.socketName(socket, address.address(), length.address()), "asking for a socket's address");
            boolean unix = address.get(ValueLayout.JAVA_SHORT, 0) == AF_UNIX;
            return unix && address.get(ValueLayout.JAVA_BYTE, 2) != 0 ? Path.of(address.getString(2)) : null;
        }
    }

    /** True for a unix socket: there sendfile pays and TCP options mean nothing. */
    public static boolean isUnix(int socket) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(MOST_ADDRESS_BYTES, 8);
            MemorySegment length = arena.allocate(4, 4);
            length.set(ValueLayout.JAVA_INT, 0, MOST_ADDRESS_BYTES);
            return Linux.socketName(socket, address.address(), length.address()) == 0
                    && address.get(ValueLayout.JAVA_SHORT, 0) == AF_UNIX;
        }
    }

    /** Small messages leave at once, and a peer that has gone is noticed. */
    public static void tuneTcp(int socket) {
        setOption(socket, IPPROTO_TCP, TCP_NODELAY, 1);
        setOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    }

    /** Asks for buffers of this size; the kernel may give less to a process without privileges. */
    public static void bufferBytes(int socket, int bytes) {
        if (setOption(socket, SOL_SOCKET, SO_SNDBUFFORCE, bytes) < 0) {
            setOption(socket, SOL_SOCKET, SO_SNDBUF, bytes);
        }
        if (setOption(socket, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0) {
            setOption(socket, SOL_SOCKET, SO_RCVBUF, bytes);
        }
    }

    /**
     * Sends what the socket takes at once, for what has to leave before a {@link Linux#sendfile}. Not to be mixed with
     * an operation that sends on the same socket.
     *
     * @return bytes, or an errno below zero; {@link Errno#EAGAIN} if the socket is full
     */
    public static int sendNow(int socket, long address, int length) {
        return Linux.send(socket, address, length, Linux.MSG_DONTWAIT | Linux.MSG_NOSIGNAL);
    }

    /** Ends the conversation in both directions; what waits on the socket wakes up. */
    public static void shutdown(int socket) {
        int both = 2;
        Linux.shutdown(socket, both);
    }

    static int takeError(int socket) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(4, 4);
            MemorySegment length = arena.allocate(4, 4);
            length.set(ValueLayout.JAVA_INT, 0, 4);
            int result = Linux.socketOption(socket, SOL_SOCKET, SO_ERROR, value.address(), length.address());
            return result < 0 ? result : -value.get(ValueLayout.JAVA_INT, 0);
        }
    }

    private static int setOption(int socket, int level, int name, int value) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment memory = arena.allocateFrom(ValueLayout.JAVA_INT, value);
            return Linux.setSocketOption(socket, level, name, memory.address(), 4);
        }
    }

    /** A sockaddr_un. */
    static MemorySegment unixAddress(Arena arena, Path path) throws IOException {
        byte[] name = path.toString().getBytes(StandardCharsets.UTF_8);
        if (name.length > MOST_UNIX_PATH_BYTES) {
            throw new IOException("the path of a unix socket is at most " + MOST_UNIX_PATH_BYTES
                    + " bytes long, and this one is not: " + path);
        }
        MemorySegment address = arena.allocate(2L + name.length + 1, 8);
        address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
        MemorySegment.copy(name, 0, address, ValueLayout.JAVA_BYTE, 2, name.length);
        return address;
    }

    /** A sockaddr_in or sockaddr_in6. */
    static MemorySegment tcpAddress(Arena arena, InetSocketAddress address) throws IOException {
        InetAddress host = address.getAddress();
        if (host == null) {
            throw new IOException("no such host: " + address.getHostString());
        }
        boolean six = host instanceof Inet6Address;
        MemorySegment memory = arena.allocate(six ? 28 : 16, 8);
        memory.set(ValueLayout.JAVA_SHORT, 0, (short) (six ? AF_INET6 : AF_INET));
        memory.set(ValueLayout.JAVA_SHORT.withOrder(ByteOrder.BIG_ENDIAN), 2, (short) address.getPort());
        byte[] bytes = host.getAddress();
        MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, six ? 8 : 4, bytes.length);
        if (host instanceof Inet6Address inet6) {
            memory.set(ValueLayout.JAVA_INT, 24, inet6.getScopeId());
        }
        return memory;
    }

    private static int checked(int result, String what) throws IOException {
        if (result < 0) {
            throw new IOException(what + " failed: " + Errno.text(result));
        }
        return result;
    }
}
